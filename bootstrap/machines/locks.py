"""Locks that leave nothing behind, and files that are never half written."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def computer_lock() -> Iterator[None]:
    """One at a time on this computer: for its interfaces, routes and firewall. Held for milliseconds.

    A folder is locked, not a file in it, so that there is none to remove. Each call opens it anew: threads of one
    process exclude each other too.
    """
    with folder_lock(Path("/run/lock") if Path("/run/lock").is_dir() else Path("/run")):
        yield


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """One at a time on this folder, which must exist; it may be removed while locked."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def write_json(path: Path, values: Any) -> None:
    """Replaces `path` in one step; makes its folder when missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".new")
    draft.write_text(json.dumps(values, indent=1, sort_keys=True) + "\n")
    draft.replace(path)
