"""A roll-out killed at random moments, again and again: what the next run makes of it, beside an undisturbed one.

    make bench-kills     or: python -m bench.kills --kills 100 --hosts 2 --seed 1

Real hosts (system containers with their own systemd, apt, dpkg and reboots; NVIDIA's packages and GPUs are stubs) go
from the old driver to the new one and back. The program that drives a host is ended with SIGKILL at a random moment of
each way, and started again at once. Then the host must be what it is after an undisturbed run: facts, receipt,
packages, holds, units, files. Exits with 1 when one is not.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.report import say
from bench.running import ROOT, BenchError, need_root, run_main, timed, workspace
from bootstrap.facts.runtime import RECEIPT_PATH
from bootstrap.machines.processes import running_pid
from tests.support.nvidia.end_state import differences, end_state
from tests.support.nvidia.serving import NEW, OLD, ServingMachine, serving_machine

RUNS = 4
"""times that a run is started anew after a kill before it counts as one that never ends"""
EARLIEST = 0.03
"""share of a run: before it Python starts, and nothing is asked of the host"""


def stands(machine: ServingMachine) -> str:
    """Where a host's receipt stands, read behind the host's back, so that nothing waits for it to answer."""
    folder = Path(machine.state.state)
    pid = running_pid(folder / "process.json")
    try:
        said = json.loads(Path(f"/proc/{pid}/root{folder}/root{RECEIPT_PATH}").read_text())
    except (OSError, ValueError):
        return "unread"
    return f"{said['state']} {said['step']}".strip() if said["state"] != "converged" else f"at {said['release']}"


@dataclass(frozen=True)
class Kill:
    """One kill: which way the host went, after how many seconds, where its receipt stood, and what came of it."""

    host: str
    driver: str
    seconds: float
    step: str
    runs: int
    """runs until one ended well"""
    digest: str
    differs: tuple[str, ...] = ()
    said: tuple[str, ...] = ()
    """what runs that did not end well said"""


@dataclass
class Rolled:
    """One host that goes back and forth, and what an undisturbed run leaves of it."""

    machine: ServingMachine
    folder: Path
    whole: dict[str, dict[str, str]] = field(default_factory=dict)
    """driver → end state"""
    seconds: dict[str, float] = field(default_factory=dict)
    """driver → what a run to it takes at the moment"""
    late: int = 0
    """runs that ended before their kill"""

    def command(self, driver: str) -> list[str]:
        """The program that brings the host to `driver`, as another process."""
        inventory = self.folder / f"{driver}.json"
        if not inventory.exists():
            inventory.touch(mode=0o600)
            said = {
                "hosts": [self.machine.connection.model_dump(mode="json")],
                "desired": self.machine.release(driver).model_dump(mode="json"),
            }
            inventory.write_text(json.dumps(said))
        return [sys.executable, "-m", "bench.peers.slipway_round", str(inventory)]

    def state(self, driver: str) -> dict[str, str]:
        with self.machine.connect() as session:
            return end_state(session, self.machine.release(driver))

    def undisturbed(self, *drivers: str) -> None:
        """Brings the host to each, one after the other; what it is at last with each is what counts."""
        for driver in drivers:
            self.seconds[driver] = timed(self.machine.state.name, self.command(driver)).seconds
            self.whole[driver] = self.state(driver)
            say(f"{self.machine.state.name}: an undisturbed run to {driver} takes {self.seconds[driver]:.0f} s")

    def kill(self, driver: str, share: float) -> Kill | None:
        """One way to `driver` with a kill after that share of it. None when the run had ended by then."""
        begun = time.monotonic()
        alive = subprocess.Popen(
            self.command(driver), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        delay = share * self.seconds[driver]
        try:
            alive.wait(delay)
        except subprocess.TimeoutExpired:
            os.killpg(alive.pid, signal.SIGKILL)
            alive.wait()
            step = stands(self.machine)
        else:
            self.late += 1
            self.seconds[driver] *= 0.9
            return None
        said: list[str] = []
        for _ in range(RUNS):
            again = subprocess.run(self.command(driver), cwd=ROOT, capture_output=True, text=True, check=False)
            if again.returncode == 0:
                break
            said.append(again.stderr.strip().splitlines()[-1] if again.stderr.strip() else "nothing")
        else:
            raise BenchError(
                f"killed after {delay:.1f} s ({step}), and no run ends well: {said[-1]}",
                where=self.machine.state.name,
                fix="See what the host says.",
            )
        self.seconds[driver] = 0.7 * self.seconds[driver] + 0.3 * (time.monotonic() - begun)
        state = self.state(driver)
        differs = tuple(differences(self.whole[driver], state))
        digest = hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()[:12]
        return Kill(self.machine.state.name, driver, delay, step, len(said) + 1, digest, differs, tuple(said))


def roll(host: Rolled, shares: list[float], tell: threading.Lock, kills: list[Kill], driver: str = NEW) -> None:
    """Kills the host's runs at these shares, one way after the other; `driver` is the first to go to."""
    for share in shares:
        while (kill := host.kill(driver, share)) is None:
            driver = OLD if driver == NEW else NEW
        with tell:
            kills.append(kill)
            end = "; ".join(kill.differs[:3]) or "the same end"
            again = f", {kill.runs} runs ({kill.said[-1][:90]})" if kill.runs > 1 else ""
            say(f"{len(kills):3}  {kill.host} to {driver}: after {kill.seconds:4.1f} s, {kill.step}: {end}{again}")
        driver = OLD if driver == NEW else NEW


def table(kills: list[Kill]) -> str:
    """Kills a step, in how many of them the end was the same, and how many runs it took."""
    lines = ["  kills  same end  runs after it  where the receipt stood"]
    for step, count in Counter(kill.step for kill in kills).most_common():
        here = [kill for kill in kills if kill.step == step]
        same = sum(not kill.differs for kill in here)
        lines.append(f"  {count:5}  {same:8}  {max(kill.runs for kill in here):13}  {step}")
    return "\n".join(lines)


def distinct(kills: list[Kill]) -> int:
    """The most end states that any host had with any driver: 1 when every run ended alike."""
    ends: dict[tuple[str, str], set[str]] = {}
    for kill in kills:
        ends.setdefault((kill.host, kill.driver), set()).add(kill.digest)
    return max(map(len, ends.values()), default=0)


@contextmanager
def rolled(count: int, folder: Path) -> Iterator[list[Rolled]]:
    """Hosts that serve with the old driver, one after the other."""
    with ExitStack() as stack:
        hosts = []
        for number in range(1, count + 1):
            machine = stack.enter_context(serving_machine(folder / "kills" / f"k{number}"))
            say(f"{machine.state.name} serves with driver {OLD}")
            private = Path(tempfile.mkdtemp(dir=folder, prefix="run-"))
            hosts.append(Rolled(machine, private))
        yield hosts


def run(count: int, hosts: int, seed: int) -> list[Kill]:
    need_root("booting system containers")
    choice = random.Random(seed)
    shares = [choice.uniform(EARLIEST, 1.0) for _ in range(count)]
    say(f"{count} kills on {hosts} hosts, seed {seed}")
    kills: list[Kill] = []
    with workspace() as folder, rolled(hosts, folder) as all_of_them, ThreadPoolExecutor(hosts) as pool:
        # Twice: the first time leaves what no later one does, such as a release that has none before it.
        list(pool.map(lambda host: host.undisturbed(NEW, OLD, NEW, OLD), all_of_them))
        tell = threading.Lock()
        list(pool.map(lambda each: roll(each[1], shares[each[0] :: hosts], tell, kills), enumerate(all_of_them)))
    return kills


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.kills", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--kills", type=int, default=100, metavar="N", help="how many (default: 100)")
    parser.add_argument("--hosts", type=int, default=2, metavar="N", help="hosts at once (default: 2)")
    parser.add_argument("--seed", type=int, default=1, help="of the moments (default: 1)")
    return parser.parse_args(argv)


def main() -> None:
    asked = parse()
    kills = run(asked.kills, asked.hosts, asked.seed)
    other = [kill for kill in kills if kill.differs]
    again = sum(kill.runs > 1 for kill in kills)
    print(
        f"A driver roll-out on {asked.hosts} hosts, killed {len(kills)} times (seed {asked.seed})\n\n{table(kills)}\n"
    )
    print(f"  {len(other)} ended otherwise than an undisturbed run; {again} needed more than one run to end\n")
    said = {
        "benchmark": "kills",
        "kills": len(kills),
        "seed": asked.seed,
        "hosts": asked.hosts,
        "distinct_end_states": distinct(kills),
        "ended_otherwise": len(other),
        "more_than_one_run": again,
        "steps": dict(Counter(kill.step for kill in kills)),
    }
    print(json.dumps(said))
    if other or len(kills) < asked.kills:
        sys.exit(1)


if __name__ == "__main__":
    run_main(main)
