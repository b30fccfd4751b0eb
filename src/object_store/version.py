"""The version of both wheels, `aowhisk` and `aowhisk-object-store`; they only go together."""

__version__ = "0.1.0"
