"""Facts about the NVIDIA driver: its module, its library, how the host boots, where apt takes it from, CDI."""

from __future__ import annotations

import base64
import re
from typing import Any

import yaml

from bootstrap.facts.fact import Fact
from bootstrap.facts.openpgp import fingerprints

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
NOUVEAU_PATH = "/etc/modprobe.d/slipway-nvidia.conf"
MODULE_FILE = '"$(modinfo -F filename nvidia 2>/dev/null || modinfo -F filename nvidia-current 2>/dev/null)"'
"""in a script, the path of the module for the kernel that runs; empty where there is none"""

_NVRM = re.compile(r"^NVRM version: NVIDIA UNIX (.*?)\s(\d{3,}\.\d+(?:\.\d+)?)\s", re.MULTILINE)
# dkms 3 writes "nvidia/580.95.05, …", dkms 2 "nvidia, 580.95.05, …"; "added" has neither kernel nor architecture.
_DKMS = re.compile(r"^nvidia(?:-current)?(?:/|, )([\d.]+)(?:, ([^,:]+), [^,:]+)?: (\w+)")


def _parse_driver(text: str) -> dict[str, Any]:
    lines = [line.partition("=") for line in text.splitlines()]
    values = {name: value.strip() for name, sep, value in lines if sep}
    nvrm = _NVRM.search(text)
    dkms = [match for name, _, value in lines if name == "dkms" and (match := _DKMS.match(value))]
    return {
        "driver": {
            "loaded": nvrm[2] if nvrm else values.get("sys", ""),
            "flavour": _flavour(nvrm[1], "Open Kernel Module") if nvrm else "",
            "installed": values.get("installed", ""),
            "installed_flavour": _flavour(values.get("license", ""), "GPL") if values.get("installed") else "",
            "library": values.get("library", ""),
            "dkms": [{"version": m[1], "kernel": m[2] or "", "state": m[3]} for m in dkms],
            "headers": values.get("headers") == "1",
            "nouveau": values.get("nouveau") == "1",
            "nouveau_blacklisted": values.get("blacklisted") == "1",
            "moved": values.get("moved", ""),
        }
    }


def _flavour(text: str, mark: str) -> str:
    return "open" if mark in text else "proprietary"


# Debian's packages name the module nvidia-current.
DRIVER = Fact(
    "driver",
    r"""[ ! -e /proc/driver/nvidia/version ] || cat /proc/driver/nvidia/version
[ ! -e /sys/module/nvidia/version ] || echo "sys=$(cat /sys/module/nvidia/version)"
for name in nvidia nvidia-current; do
  version=$(modinfo -F version $name 2>/dev/null) || continue
  echo "installed=$version"; echo "license=$(modinfo -F license $name)"; break
done
[ ! -e "/lib/modules/$(uname -r)/build" ] || echo headers=1
[ ! -d /sys/module/nouveau ] || echo nouveau=1
modprobe -c 2>/dev/null | grep -qx 'blacklist nouveau' && echo blacklisted=1
for path in /usr/lib/*/libnvidia-ml.so.1; do
  [ ! -e "$path" ] || { path=$(readlink -f "$path"); echo "library=${path##*.so.}"; }
done
command -v dkms >/dev/null && dkms status 2>/dev/null | sed 's/^/dkms=/'
cat /var/log/dpkg.log.1 /var/log/dpkg.log 2>/dev/null | awk '
  $3 == "status" && $4 ~ /^(installed|config-files|not-installed)$/ && $5 ~ /^(libcuda1|(lib)?nvidia-)/ &&
  $5 !~ /nvidia-container/ { at = $1 "T" $2 }
  END { if (at) print "moved=" at }'
true""",
    _parse_driver,
    gpu=True,
)


def _parse_boot(text: str) -> dict[str, Any]:
    values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    return {
        "boot": {
            "secure_boot": values.get("secure_boot", "").strip() == "1",
            "mok_enrolled": "already enrolled" in values.get("mok", ""),
            "initramfs_stale": "stale" in values,
        }
    }


# efivarfs: four octets of attributes, then the value. DKMS signs with Ubuntu's machine owner key, or with its own.
BOOT = Fact(
    "boot",
    rf"""path=/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c
[ ! -e $path ] || echo "secure_boot=$(od -An -t u1 -j 4 -N 1 $path)"
for key in /var/lib/shim-signed/mok/MOK.der /var/lib/dkms/mok.pub; do
  [ ! -e $key ] || {{ echo "mok=$(mokutil --test-key $key 2>&1 | head -n 1)"; break; }}
done
for path in {NOUVEAU_PATH} {MODULE_FILE}; do
  image=/boot/initrd.img-$(uname -r)
  [ ! -e "$image" ] || [ ! "$path" -nt "$image" ] || echo "stale=$path"
done""",
    _parse_boot,
    gpu=True,
)


def _parse_archives(text: str) -> dict[str, Any]:
    files, keys = {}, {}
    for line in text.splitlines():
        kind, path, content = line.split(" ", 2)
        data = base64.b64decode(content)
        if kind == "key":
            try:
                keys[path] = fingerprints(data)
            except ValueError:
                keys[path] = ()  # apt cannot read it either
        else:
            files[path] = data.decode(errors="replace")
    return {"archives": {"files": files, "keys": keys}}


# apt's files that speak of NVIDIA's archives, and key files that could be theirs.
ARCHIVES = Fact(
    "archives",
    r"""cd /etc/apt && grep -lsiE 'nvidia|graphics-drivers|cuda' sources.list sources.list.d/*.list \
  sources.list.d/*.sources preferences preferences.d/* |
while read -r path; do
  case "$path" in *.save) ;; *) echo "file /etc/apt/$path $(base64 -w0 "$path")" ;; esac
done
for path in /etc/apt/trusted.gpg /etc/apt/trusted.gpg.d/*nvidia* /etc/apt/trusted.gpg.d/*cuda* \
  /etc/apt/trusted.gpg.d/*graphics-drivers*; do
  case "$path" in *.save) continue ;; esac
  [ ! -f "$path" ] || echo "key $path $(base64 -w0 "$path")"
done""",
    _parse_archives,
    gpu=True,
)

_LIBRARY = re.compile(r"lib(?:cuda|nvidia-ml)\.so\.(\d{3,}\.\d+(?:\.\d+)?)")


def _parse_cdi(text: str) -> dict[str, Any]:
    specs: list[dict[str, Any]] = []
    for line in text.splitlines():
        path, content = line.split(" ", 1)
        said = base64.b64decode(content).decode(errors="replace")
        try:
            spec = yaml.load(said, Loader=_LOADER)  # noqa: S506  it is the safe loader, in C where that is there
            kind, devices = str(spec["kind"]), tuple(str(device["name"]) for device in spec["devices"])
        except (yaml.YAMLError, KeyError, TypeError) as error:
            specs.append({"path": path, "broken": f"{type(error).__name__}"})
            continue
        library = _LIBRARY.search(said)
        specs.append({"path": path, "kind": kind, "devices": devices, "driver": library[1] if library else ""})
    return {"cdi": specs}


CDI = Fact(
    "cdi",
    r"""for path in /etc/cdi/*.yaml /etc/cdi/*.json /var/run/cdi/*.yaml /var/run/cdi/*.json; do
  [ ! -f "$path" ] || echo "$path $(base64 -w0 "$path")"
done""",
    _parse_cdi,
    gpu=True,
)
