"""paramiko, without what it imports and we never use.

paramiko.config wants `invoke` for `Match exec` in OpenSSH's configuration files, which we never read; importing it
takes almost as long as all of the rest. paramiko does without it where it is not installed; that is what it is told.
"""

from __future__ import annotations

import sys

_hidden = "invoke" not in sys.modules
if _hidden:
    sys.modules["invoke"] = None  # type: ignore[assignment]  # the documented way to make an import fail

import paramiko  # noqa: E402

if _hidden:
    del sys.modules["invoke"]

__all__ = ["paramiko"]
