"""Objects in S3, or in anything that speaks like it: `s3://...`. Needs the library aioboto3."""

from object_store.s3.backend import S3Backend

__all__ = ["S3Backend"]
