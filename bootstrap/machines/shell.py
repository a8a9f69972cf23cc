"""Runs the system's own tools."""

from __future__ import annotations

import subprocess

from slipway.errors import MachineError

DEADLINE = 30.0
"""seconds; these tools answer in milliseconds, unless something else holds the firewall's lock"""


def call(*argv: str) -> str:
    """Standard output of a command. Raises `MachineError` with its last words when it fails or is not there."""
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=DEADLINE, check=False
        )
    except FileNotFoundError:
        raise MachineError(f"{argv[0]} is not installed", where="this computer", fix=f"Install {argv[0]}.") from None
    except subprocess.TimeoutExpired:
        raise MachineError(
            f"`{' '.join(argv)}` took more than {DEADLINE:.0f} s",
            where="this computer",
            fix="Run it by hand to see why.",
        ) from None
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no output"]
        raise MachineError(
            f"`{' '.join(argv)}` failed: {said[0]}", where="this computer", fix="Run it by hand to see why."
        )
    return done.stdout


def ok(*argv: str) -> bool:
    """Whether a command succeeded."""
    try:
        call(*argv)
    except MachineError:
        return False
    return True
