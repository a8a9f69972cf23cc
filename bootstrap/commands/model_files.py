"""Reads what sizing needs of a model's files: never more than the beginning, never a device or a pipe."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def list_folder(path: str) -> tuple[str, ...]:
    """Names in a folder, sorted. Raises `NotADirectoryError` for a file, and another `OSError` for anything else."""
    return tuple(sorted(os.listdir(Path(path).expanduser())))  # noqa: PTH208  names, not paths


def read_start(path: str, limit: int) -> tuple[bytes, int]:
    """The first `limit` bytes of a regular file, and how many it has in all. Raises `OSError`."""
    where = Path(path).expanduser()
    # A pipe would wait for its other end before anything could be said of it.
    if not stat.S_ISREG(where.stat().st_mode):
        raise OSError(errno.EINVAL, "not a regular file", path)
    with where.open("rb") as file:
        return file.read(limit), os.fstat(file.fileno()).st_size
