"""No-op converge of many SSH hosts: Slipway, pyinfra and ansible-core check the same steps, and change nothing.

    make bench-noop          or: python -m bench.noop --hosts 20 --rounds 3

Every contender is a command, timed from its start to its end, Python's own start and the SSH connections included.
The peers run in their fast settings. A contender that reports a change ends the benchmark: it would not be a no-op.
The floor is plain paramiko that runs `true` on every host.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import hosts
from bench.peers import environment
from bench.peers.slipway_round import converge
from bench.peers.steps import Steps, steps_of
from bench.report import Report, say
from bench.running import BenchError, need_root, run_main, timed, workspace
from bootstrap.machines.fleet import fleet
from tools import bases

PEERS = Path(__file__).parent / "peers"
BASE = "bookworm-python"
"""Ansible's modules need Python on the host"""
AIMS = {"pyinfra": 10, "ansible-core": 30}
"""how many times slower than Slipway the peers are expected to be"""
WORK = "slipway, once started"
"""Slipway without Python's start and imports: `pulumi up` pays for those once, in the plug-in"""


@dataclass(frozen=True)
class Field:
    """Everything a contender needs to start."""

    folder: Path
    inventory: Path
    peers: Path
    steps: Steps
    hosts: int


def slipway(field: Field) -> dict[str, float]:
    done = timed("slipway", [sys.executable, "-m", "bench.peers.slipway_round", field.inventory])
    said = json.loads(done.stdout)
    require_no_change("slipway", said["changed"], field.hosts)
    return {"slipway": done.seconds, WORK: said["seconds"]}


def floor(field: Field) -> dict[str, float]:
    done = timed("floor", [sys.executable, "-m", "bench.peers.floor_round", field.inventory])
    if json.loads(done.stdout) != [0] * field.hosts:
        raise BenchError(f"not every host answered: {done.stdout}", where="floor", fix="See the hosts.")
    return {"floor": done.seconds}


def pyinfra(field: Field) -> dict[str, float]:
    done = timed(
        "pyinfra",
        [
            field.peers / "pyinfra",
            *("-y", "--json", "--no-wait", "--parallel", str(field.hosts)),
            field.folder / "pyinfra_inventory.py",
            PEERS / "pyinfra_noop.py",
        ],
        env={"SLIPWAY_BENCH_STEPS": str(field.folder / "steps.json")},
        cwd=field.folder,
    )
    require_no_change("pyinfra", pyinfra_changes(done.stdout), field.hosts)
    return {"pyinfra": done.seconds}


def ansible(field: Field) -> dict[str, float]:
    with control_sockets() as sockets:
        done = timed(
            "ansible-core",
            [
                field.peers / "ansible-playbook",
                *("-i", field.folder / "ansible.json", "-e", f"@{field.folder / 'steps.json'}"),
                PEERS / "noop.yml",
            ],
            env={
                "PATH": f"{field.peers}:{os.environ['PATH']}",
                "ANSIBLE_HOME": str(field.folder / "ansible"),
                "ANSIBLE_LOCAL_TEMP": str(field.folder / "ansible/tmp"),
                "ANSIBLE_FORKS": str(field.hosts),
                "ANSIBLE_PIPELINING": "1",
                "ANSIBLE_SSH_CONTROL_PATH_DIR": str(sockets),
                "ANSIBLE_SSH_ARGS": "-o ControlMaster=auto -o ControlPersist=60s -o StrictHostKeyChecking=yes "
                f"-o UserKnownHostsFile={field.folder / 'known_hosts'}",
                "ANSIBLE_NOCOLOR": "1",
                "LC_ALL": "C.UTF-8",
            },
            cwd=field.folder,
        )
    require_no_change("ansible-core", ansible_changes(done.stdout), field.hosts)
    return {"ansible-core": done.seconds}


CONTENDERS: dict[str, Callable[[Field], dict[str, float]]] = {
    "slipway": slipway,
    "pyinfra": pyinfra,
    "ansible-core": ansible,
    "floor": floor,
}


def require_no_change(contender: str, changed: dict[str, object], count: int) -> None:
    """`changed` is host → what changed there. Raises BenchError unless every host is in it, with nothing."""
    if len(changed) != count:
        raise BenchError(f"{len(changed)} of {count} hosts reported", where=contender, fix="See its output.")
    if acted := {host: what for host, what in changed.items() if what}:
        raise BenchError(f"it changed something, so this is no no-op: {acted}", where=contender, fix="See the steps.")


def ansible_changes(output: str) -> dict[str, object]:
    """From the recap: host → how many tasks changed something or went wrong."""
    recap = re.findall(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", output, re.MULTILINE)
    return {host: sum(map(int, counts)) for host, *counts in recap}


def pyinfra_changes(output: str) -> dict[str, object]:
    """From its JSON: host → operations that changed something or failed."""
    results = json.loads(output)["results"]
    changed: dict[str, list[str]] = {host: ["failed"] for host in results["failed_hosts"]}
    for operation in results["operations"]:
        for host in operation["no_change"]:
            changed.setdefault(host, [])
        for host in (*operation["success"], *operation["error"]):
            changed.setdefault(host, []).append(operation["name"])
    return dict(changed)


@contextmanager
def control_sockets() -> Iterator[Path]:
    """A short path (a socket's has at most 108 characters) for OpenSSH's master connections, which end with it."""
    folder = Path(tempfile.mkdtemp(prefix="slw-"))
    try:
        yield folder
    finally:
        for socket in folder.iterdir():
            timed("ssh", ["ssh", "-O", "exit", "-o", f"ControlPath={socket}", "host"])
        shutil.rmtree(folder)


def write_peer_files(folder: Path, inventory: Path, steps: Steps) -> None:
    """The inventory and the steps in the words of each peer."""
    said = json.loads(inventory.read_text())
    (folder / "steps.json").write_text(json.dumps(steps.as_data()))
    for file in steps.files:
        (folder / Path(file["path"]).name).write_text(file["content"])
    listed = [
        (
            host["name"],
            {
                "ssh_hostname": host["address"],
                "ssh_port": host["port"],
                "ssh_user": host["user"],
                "ssh_key": said["key"],
                "ssh_known_hosts_file": said["known_hosts"],
                "ssh_strict_host_key_checking": "yes",
                "ssh_allow_agent": False,
                "ssh_look_for_keys": False,
            },
        )
        for host in said["hosts"]
    ]
    (folder / "pyinfra_inventory.py").write_text(f"hosts = {listed!r}\n")
    variables = {
        host["name"]: {
            "ansible_host": host["address"],
            "ansible_port": host["port"],
            "ansible_user": host["user"],
            "ansible_ssh_private_key_file": said["key"],
            "ansible_python_interpreter": "/usr/bin/python3",
        }
        for host in said["hosts"]
    }
    (folder / "ansible.json").write_text(json.dumps({"all": {"hosts": variables}}))


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.noop", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--hosts", type=int, default=20, metavar="N", help="how many hosts (default: 20)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="runs of each contender (default: 3)")
    return parser.parse_args(argv)


def report(measured: dict[str, list[float]], versions: dict[str, str], hosts_: int, steps: int) -> Report:
    return Report(
        name="noop",
        what=f"No-op converge of {hosts_} SSH hosts of {steps} steps each, connecting included",
        seconds=measured,
        ratios={
            "pyinfra / slipway": ("pyinfra", "slipway"),
            "ansible-core / slipway": ("ansible-core", "slipway"),
            "slipway / floor": ("slipway", "floor"),
        },
        versions=versions,
        facts={"hosts": hosts_, "steps": steps, "aims": {f"{peer} / slipway": aim for peer, aim in AIMS.items()}},
    )


def run(count: int, rounds: int) -> Report:
    """Boots the hosts, measures, removes them."""
    need_root("booting system containers")
    peers = environment.ensure()
    base = Path(bases.ensure(BASE)["tree"])
    desired = hosts.desired_host()
    steps = steps_of(desired)
    measured: dict[str, list[float]] = {name: [] for name in ("slipway", WORK, "pyinfra", "ansible-core", "floor")}
    with workspace() as folder:
        tree = folder / "converged"
        hosts.converged_tree(base, folder / "one", lambda host: print_changed(converge(host, desired)), tree)
        say(f"booting {count} copies of it")
        with fleet(count, tree, folder / "many") as machines:
            inventory = hosts.write_inventory(folder / "contenders", machines, desired)
            write_peer_files(inventory.parent, inventory, steps)
            hosts.on_all(machines.connections(), hosts.wait_for_docker)
            field = Field(inventory.parent, inventory, peers, steps, count)
            for name, contend in CONTENDERS.items():
                say(f"{name}: {contend(field)[name]:.2f} s (warm-up, not counted)")
            for number in range(1, rounds + 1):
                for name, contend in CONTENDERS.items():
                    for figure, seconds in contend(field).items():
                        measured[figure].append(seconds)
                    say(f"round {number}: {name}: {measured[name][-1]:.2f} s")
    return report(measured, environment.versions(peers), count, steps.count)


def print_changed(changed: tuple[str, ...]) -> None:
    say(f"the first converge changed: {', '.join(changed) or 'nothing'}")


def main() -> None:
    arguments = parse()
    run(arguments.hosts, arguments.rounds).show()


if __name__ == "__main__":
    run_main(main)
