"""The core of Slipway: pure functions from values to values.

Nothing here opens a connection, reads a clock or starts a process; `bootstrap` and `stacks` act on what it decides.
"""
