"""Facts about containers and GPUs: how NVIDIA's runtime gives them, and what was proven in a container."""

from __future__ import annotations

from typing import Any

from bootstrap.facts.fact import Fact

SEEN_PATH = "/run/slipway/gpu-seen"
"""what a container was seen to have; gone with the boot, as a boot can change it"""
MEASURED_PATH = "/var/lib/slipway/gpu-measured"
"""what was measured, and with which driver"""
RUNTIME_CONFIG = "/etc/nvidia-container-runtime/config.toml"


def _parse_containers(text: str) -> dict[str, Any]:
    values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    found = {"hooked": "hooked" in values, "seen": values.get("seen", ""), "measured": values.get("measured", "")}
    return {"containers": found}


CONTAINERS = Fact(
    "containers",
    rf"""for path in {SEEN_PATH} {MEASURED_PATH}; do [ ! -f $path ] || echo "${{path##*-}}=$(head -n 1 $path)"; done
! grep -qsE '^ *mode *= *"legacy"' {RUNTIME_CONFIG} || echo hooked=1""",
    _parse_containers,
    gpu=True,
)
