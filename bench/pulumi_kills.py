"""`pulumi up` killed in the middle of a driver roll-out, with its plugin and all: what the next `up` needs, and leaves.

    make bench-pulumi-kills     or: python -m bench.pulumi_kills --kills 5 --seed 1

A stack of two hosts (system containers; their GPUs and NVIDIA's packages are stubs), the second behind the first, goes
from one driver to the other and back. At a random moment of each way SIGKILL ends the CLI, its language host and the
provider plugin at once, as a computer that goes down does. Then `pulumi up` is run again; where the backend in a folder
still has the lock of the dead process, `pulumi cancel` before it. The hosts must be what they are after an undisturbed
`up`, and nothing must be left to do. Exits with 1 when they are not.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.kills import stands
from bench.report import say
from bench.running import BenchError, need_root, run_main, workspace
from tests.support.nvidia.end_state import differences, end_state
from tests.support.nvidia.serving import NEW, OLD, ServingMachine, serving_machine
from tests.support.pulumi import Project, Started, pulumi_bin

HOSTS = 2
PATIENCE = 600.0
"""seconds for an `up`"""
LOCKED = "the stack is currently locked"
PROGRAM = """
import json
from pathlib import Path

before = []
for host in json.loads(Path("hosts.json").read_text()):
    connection = {**host["connection"], "private_key": pulumi.Output.secret(host["connection"]["private_key"])}
    before = [slipway.Host(
        host["connection"]["name"], connection=connection, desired=host["desired"],
        opts=pulumi.ResourceOptions(depends_on=before),
    )]
"""


@dataclass(frozen=True)
class Killed:
    """One kill: after how many seconds, where the receipts stood, what the next `up` needed, and what differs."""

    seconds: float
    steps: tuple[str, ...]
    pending: int
    """operations that the state says were under way"""
    cancelled: bool
    """whether `pulumi cancel` was needed"""
    differs: tuple[str, ...]


class Fleet:
    """The stack, and its hosts in the order in which they are rolled."""

    def __init__(self, project: Project, machines: list[ServingMachine]) -> None:
        self.project, self.machines = project, machines
        self.whole: dict[str, list[dict[str, str]]] = {}
        self.seconds: dict[str, float] = {}

    def ask_for(self, driver: str) -> None:
        """Writes the program's wishes: every host at that driver."""
        said = [
            {
                "connection": machine.connection.model_dump(mode="json"),
                "desired": machine.release(driver).model_dump(mode="json"),
            }
            for machine in self.machines
        ]
        path = self.project.folder / "hosts.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(said))

    def states(self, driver: str) -> list[dict[str, str]]:
        found = []
        for machine in self.machines:
            with machine.connect() as session:
                found.append(end_state(session, machine.release(driver)))
        return found

    def undisturbed(self, driver: str) -> None:
        self.ask_for(driver)
        begun = time.monotonic()
        self._up()
        self.seconds[driver] = time.monotonic() - begun
        self.whole[driver] = self.states(driver)
        say(f"an undisturbed `pulumi up` to {driver} takes {self.seconds[driver]:.0f} s")

    def _up(self) -> None:
        done = self.project.start("up").wait(PATIENCE)
        if done.exit:
            raise BenchError(done.diagnostics()[-2000:], where="pulumi up", fix="See what it says.")

    def kill(self, driver: str, share: float) -> Killed | None:
        """One way with a kill; None when the run had ended by then."""
        self.ask_for(driver)
        begun = time.monotonic()
        started = self.project.start("up")
        while (gone := time.monotonic() - begun) < share * self.seconds[driver]:
            if started.process.poll() is not None:
                self.seconds[driver] *= 0.9
                return None
            time.sleep(0.05)
        kill_all(started)
        steps = tuple(map(stands, self.machines))
        latest = json.loads(self.project.checkpoint())["checkpoint"].get("latest") or {}
        pending = len(latest.get("pending_operations") or [])
        again = self.project.start("up").wait(PATIENCE)
        cancelled = again.exit != 0 and LOCKED in again.diagnostics()
        if cancelled:
            self.project.pulumi("cancel", self.project.stack, "--yes")
            self._up()
        elif again.exit:
            raise BenchError(again.diagnostics()[-2000:], where="pulumi up after a kill", fix="See what it says.")
        self.project.preview("--expect-no-changes")
        pairs = zip(self.whole[driver], self.states(driver), strict=True)
        differs = tuple(line for whole, state in pairs for line in differences(whole, state))
        return Killed(gone, steps, pending, cancelled, differs)


def kill_all(started: Started) -> None:
    """SIGKILL to the command and all that came from it, the plugin in its own process group too."""
    tree = [started.process.pid]
    for pid in tree:  # grows while it is read
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                tree += [int(child) for child in task.read_text().split() if int(child) not in tree]
    for pid in tree:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    started.process.wait()


@contextlib.contextmanager
def fleet(folder: Path) -> Iterator[Fleet]:
    cli = pulumi_bin()
    if cli is None:
        raise BenchError("there is no Pulumi CLI", where="bench", fix="Run `make images`.")
    with ExitStack() as stack:
        machines = []
        for number in range(1, HOSTS + 1):
            machines.append(stack.enter_context(serving_machine(folder / "pulumi" / f"p{number}")))
            say(f"p{number} serves with driver {OLD}")
        project = Project(folder / "project", cli)
        project.program(PROGRAM)
        yield Fleet(project, machines)


def run(count: int, seed: int) -> list[Killed]:
    need_root("booting system containers")
    choice = random.Random(seed)
    kills: list[Killed] = []
    with workspace() as folder, fleet(folder) as rolled:
        # There and back once before it counts: the first time leaves what no later one does.
        for driver in (OLD, NEW, OLD, NEW, OLD):
            rolled.undisturbed(driver)
        driver = NEW
        while len(kills) < count:
            kill = rolled.kill(driver, choice.uniform(0.1, 1.0))
            driver = OLD if driver == NEW else NEW
            if kill is None:
                continue
            kills.append(kill)
            say(
                f"{len(kills):3}  after {kill.seconds:4.1f} s: {', '.join(kill.steps)}; {kill.pending} pending"
                f"{', pulumi cancel' if kill.cancelled else ''}: {'; '.join(kill.differs[:3]) or 'the same end'}"
            )
    return kills


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.pulumi_kills", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--kills", type=int, default=5, metavar="N", help="how many (default: 5)")
    parser.add_argument("--seed", type=int, default=1, help="of the moments (default: 1)")
    return parser.parse_args(argv)


def main() -> None:
    asked = parse()
    kills = run(asked.kills, asked.seed)
    print(f"`pulumi up` over {HOSTS} hosts, killed {len(kills)} times (seed {asked.seed})\n")
    print("  after  pending  pulumi cancel  same end  where the receipts stood")
    for kill in kills:
        cancel, same = ("needed" if kill.cancelled else "-"), ("no" if kill.differs else "yes")
        print(f"  {kill.seconds:4.1f}s  {kill.pending:7}  {cancel:13}  {same:8}  {', '.join(kill.steps)}")
    said = {
        "benchmark": "pulumi-kills",
        "kills": len(kills),
        "seed": asked.seed,
        "hosts": HOSTS,
        "ended_otherwise": sum(bool(kill.differs) for kill in kills),
        "with_pending_operations": sum(bool(kill.pending) for kill in kills),
        "needed_pulumi_cancel": sum(kill.cancelled for kill in kills),
    }
    print(f"\n{json.dumps(said)}")
    if said["ended_otherwise"]:
        sys.exit(1)


if __name__ == "__main__":
    run_main(main)
