"""Cold bootstrap of one host: Slipway beside one hand-written shell script that installs the same packages.

    make bench-bootstrap     or: python -m bench.bootstrap --rounds 3

Each run gets a machine fresh from the same base. Both are commands, timed from their start to their end over SSH, and
both download every package; who goes first alternates. The script checks and repairs nothing, so it is a floor as
much as a peer. Afterwards both hosts must have the same packages, or there is no figure.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

from bench import hosts
from bench.report import Report, say
from bench.running import BenchError, need_root, run_main, timed, workspace
from bootstrap.machines.fleet import fleet
from bootstrap.session import Command, Session
from slipway.desired import Connection, HostDesired
from tools import bases

SCRIPT = Path(__file__).parent / "peers" / "bootstrap.sh"
BASE = "bookworm"
AIM = 1.1


def slipway(inventory: Path, desired: HostDesired) -> float:
    del desired  # it is in the inventory
    done = timed("slipway", [sys.executable, "-m", "bench.peers.slipway_round", inventory])
    (changed,) = json.loads(done.stdout)["changed"].values()
    if "packages" not in changed:
        raise BenchError(f"it installed nothing: {changed}", where="slipway", fix="The base must be bare.")
    return done.seconds


def script(inventory: Path, desired: HostDesired) -> float:
    said = json.loads(inventory.read_text())
    host = Connection.model_validate(said["hosts"][0])
    packages = " ".join(f"{package.name}={package.version}" for package in desired.packages)
    done = timed(
        "script",
        [
            *("ssh", "-F", "none", "-i", said["key"], "-p", str(host.port), "-o", "BatchMode=yes"),
            *("-o", f"UserKnownHostsFile={said['known_hosts']}", "-o", "StrictHostKeyChecking=yes"),
            *(f"{host.user}@{host.address}", f"PACKAGES={shlex.quote(packages)} sh -s"),
        ],
        stdin=SCRIPT.read_bytes(),
    )
    return done.seconds


CONTENDERS: dict[str, Callable[[Path, HostDesired], float]] = {"slipway": slipway, "script": script}


def order(number: int) -> list[str]:
    """Who goes first alternates: the machine's page cache and the mirror favour the second."""
    names = list(CONTENDERS)
    return names if number % 2 else names[::-1]


def packages_of(session: Session) -> str:
    hosts.wait_for_docker(session)
    listing = Command("dpkg-query -W -f '${Package} ${Version} ${db:Status-Abbrev}\\n'", "list the packages")
    return session.run(listing).stdout


def round_of(name: str, base: Path, root: Path, desired: HostDesired) -> tuple[float, str]:
    """Seconds that the contender took on a fresh machine, and the packages that are on it now."""
    with fleet(1, base, root) as machines:
        inventory = hosts.write_inventory(root / "contender", machines, desired)
        # The first login of a machine's life is slower, whoever does it.
        hosts.on_all(machines.connections(), lambda _: None)
        seconds = CONTENDERS[name](inventory, desired)
        found: list[str] = []
        hosts.on_all(machines.connections(), lambda session: found.append(packages_of(session)))
        return seconds, found[0]


def report(measured: dict[str, list[float]], packages: int) -> Report:
    return Report(
        name="bootstrap",
        what=f"Cold bootstrap of one host: {packages} packages at exact versions, Docker running, over SSH",
        seconds=measured,
        ratios={"slipway / script": ("slipway", "script")},
        facts={"hosts": 1, "packages": packages, "aims": {"slipway / script": AIM}},
    )


def run(rounds: int) -> Report:
    """Boots a machine for each run, measures, removes it."""
    need_root("booting system containers")
    base = Path(bases.ensure(BASE)["tree"])
    desired = hosts.desired_host()
    measured: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    with workspace() as folder:
        for number in range(rounds + 1):
            left: dict[str, str] = {}
            for name in order(number):
                seconds, left[name] = round_of(name, base, folder / f"{name}-{number}", desired)
                if number:
                    measured[name].append(seconds)
                say(f"{f'round {number}' if number else 'warm-up, not counted'}: {name}: {seconds:.2f} s")
            if len(set(left.values())) != 1:
                difference = set(left["slipway"].splitlines()) ^ set(left["script"].splitlines())
                raise BenchError(
                    f"the hosts differ: {'; '.join(sorted(difference))}", where="bootstrap", fix="Make them the same."
                )
    return report(measured, len(desired.packages))


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.bootstrap", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="runs of each contender (default: 3)")
    return parser.parse_args(argv)


def main() -> None:
    run(parse().rounds).show()


if __name__ == "__main__":
    run_main(main)
