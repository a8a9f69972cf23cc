"""Measurements of a host: read-only, a few seconds long, and bounded in bytes and time. Only `slipway doctor` asks."""

from __future__ import annotations

import re
from typing import Any

from bootstrap.facts.fact import Fact
from bootstrap.facts.gpus import ABSENT

READ_MIB = 256
READ_SECONDS = 4
READS = 16
PINGS = 10

_STAT = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
"""of /proc/stat, in jiffies; user has that of guests: https://www.kernel.org/doc/html/latest/filesystems/proc.html"""
COPIED = re.compile(r"^(\d+) bytes?.* copied, ([\d.e+-]+) s", re.MULTILINE)
_PING = re.compile(r"(\d+) packets transmitted, (\d+) (?:packets )?received")
_RTT = re.compile(r"min/avg/max/mdev = [\d.]+/([\d.]+)/[\d.]+/([\d.]+) ms")


def _parse_cpu(text: str) -> dict[str, Any]:
    lines = [line.partition("=") for line in text.splitlines()]
    values = {name: value.strip() for name, _, value in lines}
    first, last = [[int(item) for item in value.split()[: len(_STAT)]] for name, _, value in lines if name == "stat"]
    ticks = dict(zip(_STAT, (b - a for a, b in zip(first, last, strict=True)), strict=True))
    total = sum(ticks.values()) or 1
    heat = [int(value) for name, _, value in lines if name == "throttle" and value.strip()]
    clocks = {name: values.get(f"{name}khz", "") for name in ("", "min_", "max_", "limit_")}
    return {
        "cpu": {
            "model": values.get("model", ""),
            "cores": int(values["cores"]),
            "flags": sorted(values.get("flags", "").split()),
            "nodes": max(1, int(values["nodes"])),
            "governor": values.get("governor", ""),
            "driver": values.get("driver", ""),
            **{f"{name}mhz": int(khz) / 1000 if khz else None for name, khz in clocks.items()},
            "busy": round((total - ticks["idle"] - ticks["iowait"] - ticks["steal"]) / total, 4),
            "steal": round(ticks["steal"] / total, 4),
            "throttled": heat[1] - heat[0] if len(heat) == 2 else None,
        }
    }


CPU = Fact(
    "cpu",
    r"""look() {
  sed -n 's/^cpu  */stat=/p' /proc/stat
  cat /sys/devices/system/cpu/cpu*/thermal_throttle/package_throttle_count 2>/dev/null |
    awk '{ n += $1 } END { if (NR) print "throttle=" n }'
}
look; sleep 1; look
awk -F ': *' '/^model name/ { print "model=" $2; exit }' /proc/cpuinfo
awk -F ': *' '/^(flags|Features)/ { print "flags=" $2; exit }' /proc/cpuinfo
echo "cores=$(nproc)"
echo "nodes=$(ls -d /sys/devices/system/node/node[0-9]* 2>/dev/null | wc -l)"
cd /sys/devices/system/cpu/cpu0/cpufreq 2>/dev/null || exit 0
say() { echo "$1=$(cat "$2" 2>/dev/null)"; }
say governor scaling_governor; say driver scaling_driver; say khz scaling_cur_freq
say min_khz cpuinfo_min_freq; say max_khz cpuinfo_max_freq; say limit_khz scaling_max_freq""",
    _parse_cpu,
)


def _parse_disk(text: str) -> dict[str, Any]:
    head, _, rest = text.partition("\n")
    path = head.removeprefix("path=")
    if "\nmissing" in f"\n{rest}":
        return {"disk": {"path": path, "state": "missing"}}
    size, _, rest = rest.partition("\n")
    singles, _, whole = rest.partition("--\n")
    copied = COPIED.search(whole)
    if copied is None:
        said = (whole.strip() or singles.strip()).splitlines()
        return {"disk": {"path": path, "state": "failed", "size": int(size), "said": said[0] if said else "no reason"}}
    return {
        "disk": {
            "path": path,
            "state": "read",
            "size": int(size),
            "read": int(copied[1]),
            "seconds": float(copied[2]),
            "latencies": [float(match[2]) for match in COPIED.finditer(singles)],
        }
    }


# Single reads first: what was just read is in the cache of the disk itself, or of the machine under this one. SIGINT
# makes dd say how far it got.
DISK = Fact(
    "disk",
    rf"""echo "path=$READ"
[ -f "$READ" ] || {{ echo missing; exit 0; }}
export LC_ALL=C
size=$(stat -c %s "$READ"); echo "$size"
i=0
while [ $i -lt {READS} ]; do
  dd if="$READ" of=/dev/null bs=4096 count=1 iflag=direct skip=$((size / 4096 * i / {READS})) 2>&1 | tail -n 1
  i=$((i + 1))
done
echo --
timeout -k 2 -s INT {READ_SECONDS} \
  dd if="$READ" of=/dev/null bs=4M count={READ_MIB // 4} iflag=direct 2>&1 | tail -n 1""",
    _parse_disk,
)


def _parse_network(text: str) -> dict[str, Any]:
    if text.startswith("absent"):
        return {"network": {"state": "absent"}}
    said: dict[str, str] = {}
    for line in text.splitlines():
        address, _, words = line.partition(" ")
        said[address] = f"{said.get(address, '')}{words}\n"
    return {"network": {"pings": [_ping(address, words) for address, words in said.items()]}}


def _ping(address: str, words: str) -> dict[str, Any]:
    count, times = _PING.search(words), _RTT.search(words)
    return {
        "address": address,
        "sent": int(count[1]) if count else 0,
        "received": int(count[2]) if count else 0,
        "mean": float(times[1]) / 1000 if times else None,
        "jitter": float(times[2]) / 1000 if times else None,
    }


NETWORK = Fact(
    "network",
    rf"""[ -n "$PEERS" ] || exit 0
command -v ping >/dev/null || {{ echo absent; exit 0; }}
export LC_ALL=C
for peer in $PEERS; do
  ping -n -q -c {PINGS} -i 0.2 -W 1 "$peer" 2>&1 | sed "s|^|$peer |" &
done
wait""",
    _parse_network,
)


def _parse_links(text: str) -> dict[str, Any]:
    fields = ("speed", "max_speed", "width", "max_width", "port_speed", "port_width", "node")
    links = []
    for line in text.splitlines():
        address, *values = line.split("|")
        link: dict[str, Any] = {"address": address}
        for name, value in zip(fields, values, strict=True):
            number = re.match(r"-?\d+(?:\.\d+)?", value)
            if number:
                link[name] = float(number[0]) if name.endswith("speed") else int(number[0])
        # A width of 0, or of 255, is what a guest reads where its hypervisor passes no link on.
        links.append({name: value for name, value in link.items() if name == "node" or value not in (0, 255)})
    return {"links": links}


# "16.0 GT/s PCIe", "16", "Unknown": https://www.kernel.org/doc/Documentation/ABI/testing/sysfs-bus-pci
LINKS = Fact(
    "links",
    r"""for vendor in $(grep -ls 0x10de /sys/bus/pci/devices/*/vendor); do
  device=${vendor%/vendor}
  case "$(cat "$device/class")" in 0x0300*|0x0302*) ;; *) continue ;; esac
  port=$(readlink -f "$device/..")
  line=${device##*/}
  for path in "$device/current_link_speed" "$device/max_link_speed" "$device/current_link_width" \
    "$device/max_link_width" "$port/max_link_speed" "$port/max_link_width" "$device/numa_node"; do
    line="$line|$(cat "$path" 2>/dev/null)"
  done
  echo "$line"
done
true""",
    _parse_links,
    gpu=True,
)

STATE_FIELDS = ("index", "pstate", "temperature.gpu", "clocks.sm", "clocks.max.sm", "utilization.gpu")
REASONS = ("clocks_event_reasons.active", "clocks_throttle_reasons.active")
"""the name since driver 535, and the one before"""


def _parse_states(text: str) -> dict[str, Any]:
    gpus, said = [], []
    for line in text.splitlines():
        values = [value.strip() for value in line.split(",")]
        if len(values) != len(STATE_FIELDS) + 1 or not values[0].isdigit():
            said.append(line.strip())
            continue
        index, pstate, *numbers, reasons = values
        temperature, clock, most, used = (None if value in ABSENT else int(float(value)) for value in numbers)
        gpus.append({
            "index": int(index),
            "pstate": "" if pstate in ABSENT else pstate,
            "temperature": temperature,
            "clock": clock,
            "max_clock": most,
            "utilization": used,
            "reasons": None if reasons in ABSENT else int(reasons, 16),
        })  # fmt: skip
    return {"states": {"gpus": gpus, "said": " ".join(said).strip()}}


STATES = Fact(
    "states",
    f"""command -v nvidia-smi >/dev/null || {{ echo there is no nvidia-smi; exit 0; }}
ask() {{ timeout 50 nvidia-smi --query-gpu={",".join(STATE_FIELDS)},$1 --format=csv,noheader,nounits 2>&1; }}
said=$(ask {REASONS[0]})
case "$said" in *"is not a valid field to query"*) said=$(ask {REASONS[1]}) ;; esac
printf '%s\\n' "$said\"""",
    _parse_states,
    gpu=True,
)


def _parse_clock(text: str) -> dict[str, Any]:
    return {"clock": {"synchronized": {"yes": True, "no": False}.get(text.strip())}}


CLOCK = Fact("clock", "timedatectl show -p NTPSynchronized --value 2>/dev/null || true", _parse_clock)
