"""Facts about GPUs: what nvidia-smi says, what the PCI bus has, what the kernel complained about."""

from __future__ import annotations

import re
from typing import Any

from bootstrap.facts.fact import Fact

FIELDS = (
    "index", "uuid", "name", "pci.bus_id", "memory.total", "compute_cap", "ecc.mode.current", "ecc.mode.pending",
    "mig.mode.current", "mig.mode.pending", "power.limit", "persistence_mode",
)  # fmt: skip
FABRIC_FIELDS = ("fabric.state", "fabric.status")
"""fields that drivers before 535 refuse, and with them the whole query"""

# What nvidia-smi prints in place of an answer; the first that is found names the state.
FAILURES = (
    ("mismatch", "Driver/library version mismatch"),
    ("no-driver", "couldn't communicate with the NVIDIA driver"),
    ("no-driver", "Driver Not Loaded"),
    ("no-library", "couldn't find libnvidia-ml.so"),
    ("lost", "GPU is lost"),
    ("lost", "Unable to determine the device handle"),
    ("no-devices", "No devices were found"),
)
ABSENT = {"", "N/A", "[N/A]", "[Not Supported]", "Not Supported", "[Unknown Error]", "[GPU requires reset]"}
"""what nvidia-smi prints for what a GPU does not have"""
_MIG = re.compile(r"^\s+MIG (\S+)\s+Device\s+\d+:")
_GPU = re.compile(r"^GPU (\d+): ")


def _parse_smi(text: str) -> dict[str, Any]:
    head, _, rest = text.partition("\n")
    if head == "absent":
        return {"smi": {"state": "absent"}}
    status = int(head.removeprefix("status="))
    said, _, listing = rest.partition("\n--\n")
    gpus = [gpu for line in said.splitlines() if (gpu := _gpu(line))]
    for gpu in gpus:
        gpu["mig_devices"] = _mig_devices(listing).get(gpu["index"], ())
    state = next((state for state, words in FAILURES if words in said), "ok" if status == 0 else "failed")
    words = " ".join(line.strip() for line in said.splitlines() if not _gpu(line))
    if state == "failed":
        words = f"exit status {status} {words}"  # 124: it did not answer in time
    return {"smi": {"state": state, "said": words.strip(), "gpus": gpus}}


def _gpu(line: str) -> dict[str, Any] | None:
    values = [value.strip() for value in line.split(", ")]
    if len(values) not in (len(FIELDS), len(FIELDS) + len(FABRIC_FIELDS)) or not values[0].isdigit():
        return None
    found = dict(zip((*FIELDS, *FABRIC_FIELDS), values, strict=False))
    found = {name: "" if value in ABSENT else value for name, value in found.items()}
    return {
        "index": int(found["index"]),
        "uuid": found["uuid"],
        "name": found["name"],
        "address": _address(found["pci.bus_id"]),
        "memory_mib": int(found["memory.total"] or 0),
        "compute_capability": found["compute_cap"],
        "ecc": found["ecc.mode.current"],
        "ecc_pending": found["ecc.mode.pending"],
        "mig": found["mig.mode.current"],
        "mig_pending": found["mig.mode.pending"],
        "power_limit": float(found["power.limit"]) if found["power.limit"] else None,
        "persistence": found["persistence_mode"],
        "fabric_state": found.get("fabric.state", ""),
        "fabric_status": found.get("fabric.status", ""),
    }


def _address(bus_id: str) -> str:
    """As sysfs writes it: nvidia-smi has eight digits of domain, in upper case."""
    domain, _, rest = bus_id.lower().partition(":")
    return f"{domain[-4:]}:{rest}"


def _mig_devices(listing: str) -> dict[int, tuple[str, ...]]:
    """GPU → profiles of its MIG devices, from `nvidia-smi -L`."""
    devices: dict[int, tuple[str, ...]] = {}
    gpu = -1
    for line in listing.splitlines():
        if match := _GPU.match(line):
            gpu = int(match[1])
        elif match := _MIG.match(line):
            devices[gpu] = (*devices.get(gpu, ()), match[1])
    return devices


# Without persistence mode each call wakes every GPU; the Operator's own probe gives it a minute.
SMI = Fact(
    "smi",
    f"""command -v nvidia-smi >/dev/null || {{ echo absent; exit 0; }}
ask() {{ timeout 50 nvidia-smi --query-gpu="$1" --format=csv,noheader,nounits 2>&1; }}
said=$(ask {",".join((*FIELDS, *FABRIC_FIELDS))}); status=$?
case "$said" in *"is not a valid field to query"*) said=$(ask {",".join(FIELDS)}); status=$? ;; esac
echo "status=$status"; printf '%s\\n' "$said"; echo --
[ $status -ne 0 ] || timeout 30 nvidia-smi -L 2>&1 || true""",
    _parse_smi,
    gpu=True,
)


def _parse_pci(text: str) -> dict[str, Any]:
    devices, switches, managers = [], [], []
    for line in text.splitlines():
        kind, *words = line.split(" ")
        if kind == "pci":
            address, device, cls, driver = words
            devices.append({"address": address, "device": device, "kind": cls, "driver": driver})
        elif kind == "nvswitch":
            switches.append(words[0])
        elif kind == "nvlink5":
            managers.append(words[0])
    return {"pci": {"devices": devices, "nvswitches": switches, "nvlink5": managers}}


# The switches of NVLink 5 are no PCI devices: ConnectX-7 bridges manage them, whose vital product data say SW_MNG.
PCI = Fact(
    "pci",
    r"""for path in $(grep -ls 0x10de /sys/bus/pci/devices/*/vendor); do
  device=${path%/vendor}
  driver=$(readlink "$device/driver")
  echo "pci ${device##*/} $(cat "$device/device") $(cat "$device/class") ${driver##*/}"
done
for path in /proc/driver/nvidia-nvswitch/devices/*; do [ ! -e "$path" ] || echo "nvswitch ${path##*/}"; done
for path in $(grep -las SW_MNG /sys/class/infiniband/*/device/vpd); do
  path=${path%/device/vpd}; echo "nvlink5 ${path##*/}"
done
true""",
    _parse_pci,
    gpu=True,
)

_XID = re.compile(r"^(\S+)?.*?NVRM: Xid \((?:PCI:)?([0-9a-fA-F:.]+)\): (\d+)(?:, (.*))?$")


def _parse_xids(text: str) -> dict[str, Any]:
    matches = (_XID.match(line) for line in text.splitlines())
    return {
        "xids": [
            {"at": match[1] or "", "address": match[2].lower(), "code": int(match[3]), "said": (match[4] or "").strip()}
            for match in matches
            if match
        ]
    }


# One of a code on a GPU tells as much as a thousand; a broken GPU fills the log.
XIDS = Fact(
    "xids",
    "{ journalctl -k -b -q --no-pager -o short-iso 2>/dev/null || dmesg --time-format iso 2>/dev/null; } | "
    "grep 'NVRM: Xid' | awk '{ key = $0; sub(/.*Xid/, \"\", key); split(key, part, \",\") } !seen[part[1]]++' | "
    "tail -n 100",
    _parse_xids,
    gpu=True,
)
