"""A stand-in for OpenWhisk, in a process of its own: it answers as fast as Python can.

Nothing is executed: an action's name says what it does (`noop`; `wait-100`, which takes 100 ms and
no CPU; `objects`, which reads and writes objects that exist in name only).
"""
