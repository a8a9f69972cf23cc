"""Commands as a terminal starts them, whatever started the tests."""

from __future__ import annotations

import signal


def foreground() -> None:
    """For `preexec_fn`: let Ctrl-C reach the command. A shell's background job, and its children, ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
