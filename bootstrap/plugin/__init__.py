"""The Pulumi resource provider: turns the engine's create, read, update and delete into bootstrap calls.

From the bottom up: `wire` (the protocol's messages), `codec` (structs to Python values and back), `diffs` (property
paths and diffs), `resource` (what one resource implements), `operation`, `schema`, `servicer`, `server`.
Nothing here is imported by a Pulumi program: programs use `stacks.resources`.
"""
