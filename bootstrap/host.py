"""One host, from whatever it is to the release that was asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class HostReport:
    """What a converge did: facts after it, the operations that acted, the release, the boot, the receipt."""

    facts: dict[str, Any]
    changed: tuple[str, ...]
    release: str
    boot_id: str
    receipt: dict[str, Any] = field(default_factory=dict)
