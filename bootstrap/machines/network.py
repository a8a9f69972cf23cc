"""The private network of a root: a bridge, a /24, and translation to the world. Addresses are chosen by pure functions.

What is set on this computer, and undone when the last machine goes: the bridge, three iptables rules (tagged with the
bridge's name), forwarding on the bridge and on the way out (per interface, not the global switch), and, where it is
too low for many machines, fs.inotify.max_user_instances.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from bootstrap.log import Log
from bootstrap.machines.locks import computer_lock, write_json
from bootstrap.machines.shell import call, ok
from bootstrap.machines.spec import NAME_PREFIX, Names, names_of, root_of
from slipway.errors import MachineError

POOL = IPv4Network("10.64.0.0/10")
"""/24 networks come from here: less used than the ends of 10.0.0.0/8, where clouds, VPNs and Docker begin."""
IFF_UP = 1
FIRST_HOST = 11
LAST_HOST = 254
INOTIFY_INSTANCES = Path("/proc/sys/fs/inotify/max_user_instances")
INOTIFY_NEEDED = 1024
"""each systemd takes about five of root's, dockerd some more; the kernel's default of 128 ends at twenty machines"""
UNDO = Path("/run/slipway-machines.json")
"""what a setting of this computer was before; gone with the last machine, and with the settings at a reboot"""


@dataclass(frozen=True)
class Allocation:
    """The network of one root, as recorded in it. `hosts` maps `<stack>/<name>` to an address."""

    subnet: IPv4Network
    hosts: Mapping[str, IPv4Address] = field(default_factory=dict)

    @property
    def gateway(self) -> IPv4Address:
        return self.subnet[1]


def choose_subnet(seed: str, taken: Iterable[IPv4Network]) -> IPv4Network:
    """The first free /24 of the pool, from a place that depends on `seed`, so that roots rarely meet at all."""
    occupied = [network for network in taken if network.overlaps(POOL)]
    count = 2 ** (24 - POOL.prefixlen)
    start = int(seed, 16) % count
    for step in range(count):
        base = int(POOL.network_address) + ((start + step) % count) * 256
        candidate = IPv4Network((base, 24))
        if not any(candidate.overlaps(network) for network in occupied):
            return candidate
    raise MachineError(f"no free /24 in {POOL}", where="network", fix="Remove machines or routes that are not needed.")


def choose_address(subnet: IPv4Network, used: Iterable[IPv4Address]) -> IPv4Address:
    """The lowest free host address of `subnet`; the first ten stay free for the gateway and for people."""
    occupied = set(used)
    for number in range(FIRST_HOST, LAST_HOST + 1):
        if subnet[number] not in occupied:
            return subnet[number]
    raise MachineError(f"{subnet} is full", where="network", fix="Remove machines that are not needed.")


def taken_networks(addresses: str, routes: str, nameservers: Iterable[str]) -> list[IPv4Network]:
    """The IPv4 networks in use, from `ip -j -4 addr`, `ip -j -4 route show table all`, and resolv.conf."""
    found = [
        IPv4Network((entry["local"], entry["prefixlen"]), strict=False)
        for interface in json.loads(addresses or "[]")
        for entry in interface.get("addr_info", ())
        if entry.get("family", "inet") == "inet"
    ]
    found += [
        IPv4Network(route["dst"], strict=False)
        for route in json.loads(routes or "[]")
        if route.get("dst", "default") != "default"
    ]
    found += [IPv4Network(server) for server in nameservers]
    return found


def nameservers(resolv_conf: str) -> tuple[str, ...]:
    """The IPv4 name servers of a resolv.conf that a machine can reach too: not those on loopback."""
    lines = [line.split() for line in resolv_conf.splitlines()]
    servers = [words[1] for words in lines if words[:1] == ["nameserver"] and words[1:]]
    return tuple(server for server in servers if ":" not in server and not server.startswith("127."))


def host_nameservers() -> tuple[str, ...]:
    """Those of this computer. Behind a local resolver (127.0.0.53) the real ones are in systemd-resolved's file."""
    for path in (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf")):
        if path.exists() and (found := nameservers(path.read_text())):
            return found
    return ()


def attach(folder: Path, log: Log) -> tuple[Allocation, IPv4Address]:
    """Makes sure that the root of `folder` has its network up, and that this machine has an address in it."""
    root, names, key = root_of(folder), names_of(folder), _key(folder)
    with computer_lock():
        allocation = _read(root)
        if not _bridge_is_up(names.bridge) or (allocation is None and not _has_machines(names.bridge)):
            allocation = _reserve(names, allocation)
            _write(root, allocation)
            _bridge_down(names)  # what a run that died half-way left
            _bridge_up(names, allocation, log)
        elif allocation is None:
            raise MachineError(
                f"other machines are on the bridge {names.bridge}, but the record of their addresses is gone",
                where=str(root / "network.json"),
                fix="End them (`ps` shows them by the folder), then run this again.",
            )
        address = allocation.hosts.get(key) or choose_address(allocation.subnet, allocation.hosts.values())
        allocation = Allocation(allocation.subnet, {**allocation.hosts, key: address})
        _write(root, allocation)
        return allocation, address


def detach(folder: Path) -> None:
    """Gives the machine's address back; takes the network down with the last one. Idempotent."""
    root, names = root_of(folder), names_of(folder)
    if os.geteuid() != 0:
        return  # nothing of this module was set then
    with computer_lock():
        allocation = _read(root)
        hosts = dict(allocation.hosts) if allocation else {}
        hosts.pop(_key(folder), None)
        if allocation and hosts:
            _write(root, Allocation(allocation.subnet, hosts))
            return
        _bridge_down(names)
        (root / "network.json").unlink(missing_ok=True)
        if not any(Path("/sys/class/net").glob(f"{NAME_PREFIX}*")):
            _restore_settings()


def _reserve(names: Names, allocation: Allocation | None) -> Allocation:
    """Keeps the recorded subnet after a reboot of this computer, unless somebody else took it meanwhile."""
    taken = taken_networks(
        call("ip", "-j", "-4", "addr"), call("ip", "-j", "-4", "route", "show", "table", "all"), host_nameservers()
    )
    if allocation and not any(allocation.subnet.overlaps(network) for network in taken):
        return allocation
    return Allocation(choose_subnet(names.bridge.removeprefix(NAME_PREFIX), taken))


def _bridge_up(names: Names, allocation: Allocation, log: Log) -> None:
    bridge = names.bridge
    for uplink in _uplinks():
        _raise_setting(Path(f"/proc/sys/net/ipv4/conf/{uplink}/forwarding"), 1)
    if _raise_setting(INOTIFY_INSTANCES, INOTIFY_NEEDED):
        log.info(f"raised fs.inotify.max_user_instances to {INOTIFY_NEEDED} while local machines run")
    for chain, rule in _rules(bridge, str(allocation.subnet)):
        call("iptables", "-w", *chain, *rule)
    call("ip", "link", "add", bridge, "type", "bridge")
    Path(f"/proc/sys/net/ipv4/conf/{bridge}/forwarding").write_text("1")
    call("ip", "addr", "add", f"{allocation.gateway}/{allocation.subnet.prefixlen}", "dev", bridge)
    call("ip", "link", "set", bridge, "up")  # last: it says that all of the above is there


def _rules(bridge: str, subnet: str) -> tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]:
    """(where, rule). The two in FORWARD matter where Docker or a firewall set its policy to DROP."""
    tag = ("-m", "comment", "--comment", bridge)
    return (
        (("-t", "nat", "-A", "POSTROUTING"), ("-s", subnet, "!", "-d", subnet, *tag, "-j", "MASQUERADE")),
        (("-I", "FORWARD"), ("-i", bridge, *tag, "-j", "ACCEPT")),
        (("-I", "FORWARD"), ("-o", bridge, *tag, "-j", "ACCEPT")),
    )


def _bridge_down(names: Names) -> None:
    if shutil.which("iptables"):
        for table in ("nat", "filter"):
            for line in call("iptables", "-w", "-t", table, "-S").splitlines():
                words = line.replace('"', "").split()
                if words[:1] == ["-A"] and names.comment in words:
                    ok("iptables", "-w", "-t", table, "-D", *words[1:])
    if Path("/sys/class/net", names.bridge).exists():
        call("ip", "link", "del", names.bridge)


def _has_machines(bridge: str) -> bool:
    return any(Path("/sys/class/net", bridge, "brif").iterdir())


def _bridge_is_up(bridge: str) -> bool:
    flags = Path("/sys/class/net", bridge, "flags")
    return flags.exists() and int(flags.read_text(), 16) & IFF_UP != 0


def _uplinks() -> list[str]:
    routes = json.loads(call("ip", "-j", "-4", "route", "show", "default") or "[]")
    return sorted({route["dev"] for route in routes if "dev" in route})


def _raise_setting(setting: Path, at_least: int) -> bool:
    """Raises a setting, and remembers what it was. False when it was enough already."""
    before = int(setting.read_text())
    if before >= at_least:
        return False
    undo = json.loads(UNDO.read_text()) if UNDO.exists() else {}
    write_json(UNDO, {str(setting): before, **undo})
    setting.write_text(str(at_least))
    return True


def _restore_settings() -> None:
    """A forwarding switch stays on where the global one was turned on meanwhile: somebody else relies on it now."""
    if not UNDO.exists():
        return
    forwarding = Path("/proc/sys/net/ipv4/ip_forward").read_text().strip() == "1"
    for name, before in json.loads(UNDO.read_text()).items():
        setting = Path(name)
        if setting.exists() and not (forwarding and setting.name == "forwarding"):
            setting.write_text(str(before))
    UNDO.unlink()


def _key(folder: Path) -> str:
    return "/".join(folder.absolute().parts[-2:])


def _read(root: Path) -> Allocation | None:
    path = root / "network.json"
    if not path.exists():
        return None
    values = json.loads(path.read_text())
    hosts = {name: IPv4Address(address) for name, address in values["hosts"].items()}
    return Allocation(IPv4Network(values["subnet"]), hosts)


def _write(root: Path, allocation: Allocation) -> None:
    hosts = {name: str(address) for name, address in sorted(allocation.hosts.items())}
    write_json(root / "network.json", {"subnet": str(allocation.subnet), "hosts": hosts})
