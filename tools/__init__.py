"""What a machine that reaches package registries builds once, and keeps in the cache: the Pulumi CLI, images, bases.

Everything here runs on a plain `python3` (3.11 or newer) without a virtual environment, because it comes before one.
"""
