"""Commands as a terminal starts them, whatever started the tests."""

from __future__ import annotations


def foreground(*argv: str) -> list[str]:
    """The command so that Ctrl-C reaches it. A shell's background job, and its children, ignore SIGINT.

    `env` does it in the new process: a `preexec_fn` would fork this one with gRPC's threads in it, which aborts.
    """
    return ["env", "--default-signal=INT", *argv]
