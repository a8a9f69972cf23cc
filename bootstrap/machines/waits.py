"""The waits of local machines, as policies of the bootstrap engine."""

from __future__ import annotations

import tenacity

from bootstrap.waits import Policy

CONTAINER_BOOT = Policy(
    "CONTAINER_BOOT",
    "a system container shows SSH's banner after 1 s, or 5 s when twenty start at once on two processors",
    deadline=60,
    pause=tenacity.wait_fixed(0.05),
)
VM_BOOT = Policy(
    "VM_BOOT",
    "a VM takes some seconds under KVM, twenty without it, and more than a hundred on a busy computer",
    deadline=300,
    pause=tenacity.wait_fixed(0.25),
)
