"""Where the edges say what they do. The plugin hands in one that ends in Pulumi's diagnostics."""

from __future__ import annotations

import sys
from typing import Protocol


class Log(Protocol):
    """Takes whole sentences or lines, from any thread."""

    def info(self, text: str) -> None:
        """Something worth keeping."""

    def warning(self, text: str) -> None:
        """Something a person should look at, though nothing failed."""

    def progress(self, text: str) -> None:
        """A status line that the next one replaces."""


class PrintLog:
    """Writes to standard error, one line a call. Standard output stays free for results."""

    def info(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)  # noqa: T201

    def warning(self, text: str) -> None:
        print(f"warning: {text}", file=sys.stderr, flush=True)  # noqa: T201

    def progress(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)  # noqa: T201


class NullLog:
    """Says nothing."""

    def info(self, text: str) -> None:
        pass

    def warning(self, text: str) -> None:
        pass

    def progress(self, text: str) -> None:
        pass
