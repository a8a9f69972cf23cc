"""Facts about the container runtime and about what Slipway itself put on the host."""

from __future__ import annotations

import base64
import json
from typing import Any

from bootstrap.facts.fact import Fact


def properties_of(text: str) -> dict[str, str]:
    """One block of `systemctl show`."""
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def _parse_docker(text: str) -> dict[str, Any]:
    head, _, answers = text.partition("\n--\n")
    properties = properties_of(head)
    documents: list[Any] = [json.loads(line) for line in answers.splitlines() if line.strip()]
    info, images = documents if documents else [{}, []]
    return {
        "docker": {
            "active": properties["ActiveState"],
            "enabled": properties.get("UnitFileState", ""),
            "stale": properties["stale"] == "1",
            "version": info.get("ServerVersion", ""),
            "storage_driver": info.get("Driver", ""),
            "cdi": bool(info.get("CDISpecDirs")),
            "runtimes": tuple(sorted(info.get("Runtimes") or ())),
        },
        "images": [
            {"id": image["Id"], "digests": tuple(sorted(image.get("RepoDigests") or ()))}
            for image in sorted(images, key=lambda image: str(image["Id"]))
        ],
    }


# The API by curl: the docker command takes five times as long. What is not running has no images that we could name.
DOCKER = Fact(
    "docker",
    r"""systemctl show -p ActiveState -p UnitFileState docker.service || exit
[ /etc/docker/daemon.json -nt /run/docker.pid ] && [ -e /run/docker.pid ] && echo stale=1 || echo stale=0
if [ -S /run/docker.sock ] && [ -e /run/docker.pid ] && command -v curl >/dev/null; then
  echo --
  curl -sS --max-time 30 --unix-socket /run/docker.sock -w '\n' http://docker/info --next -sS --max-time 30 \
    --unix-socket /run/docker.sock http://docker/images/json
fi""",
    _parse_docker,
)


def _parse_units(text: str) -> dict[str, Any]:
    units = {}
    for block in text.split("\n\n"):
        properties = properties_of(block)
        if properties.get("LoadState") not in (None, "not-found"):
            units[properties["Id"]] = {
                "active": properties["ActiveState"],
                "enabled": properties.get("UnitFileState", ""),
                "result": properties.get("Result", "success"),
            }
    return {"units": units}


# The pattern finds what systemd has in memory: a unit whose start was skipped, as on a host that is held, is not there.
UNITS = Fact(
    "units",
    "systemctl show -p Id -p LoadState -p ActiveState -p UnitFileState -p Result 'slipway-*' $UNITS "
    "$(cd /etc/systemd/system && ls -d slipway-*.service 2>/dev/null)",
    _parse_units,
)


def _parse_files(text: str) -> dict[str, Any]:
    files, sources, directories = {}, [], {}
    for line in text.splitlines():
        kind, path, *rest = line.split(" ", 2)
        if kind == "file":
            files[path] = base64.b64decode(rest[0] if rest else "").decode(errors="replace")
        elif kind == "source":
            sources.append(path)
        elif kind == "directory":
            directories[path] = rest[0]
    return {"files": files, "sources": sources, "directories": directories}


FILES = Fact(
    "files",
    r"""for path in $FILES; do [ ! -f "$path" ] || echo "file $path $(base64 -w0 "$path")"; done
for path in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
  [ ! -s "$path" ] || echo "source $path"
done
[ -z "$DIRECTORIES" ] || stat -c 'directory %n %a %U:%G' $DIRECTORIES 2>/dev/null || true""",
    _parse_files,
)


def _parse_receipt(text: str) -> dict[str, Any]:
    if not text.strip():
        return {"receipt": None}
    # It says where a run stands, and a host must not be lost for it: who reads the receipt decides what follows.
    try:
        receipt = json.loads(text)
    except ValueError as error:
        receipt = error
    return {"receipt": receipt if isinstance(receipt, dict) else {"damaged": str(receipt)}}


RECEIPT_PATH = "/var/lib/slipway/receipt.json"
RECEIPT = Fact("receipt", f"if [ -e {RECEIPT_PATH} ]; then cat {RECEIPT_PATH}; fi", _parse_receipt)

HOLD_PATH = "/var/lib/slipway/hold"
"""as templates/host/engine.service.j2 names it"""
HOLD = Fact("hold", f"[ ! -e {HOLD_PATH} ] || echo held", lambda text: {"hold": text.strip() == "held"})
