"""`pulumi preview` of a plan of many hosts, beside a bare program that registers the same resources.

    make bench-preview       or: python -m bench.preview --hosts 200 --rounds 3

The stack's hosts are an inventory (provider `ssh`), none of which exists: a preview of a new stack asks no host. The
bare program reads the resources' types, names and inputs, as Pulumi's engine saw them in a first run of ours, from a
file, and registers each: the same engine, the same provider plugin, no plan, no templates, no dependencies.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import yaml

from bench.hosts import RELEASE
from bench.report import Report, say
from bench.running import ROOT, BenchError, run_main, timed, workspace
from bootstrap.machines.fleet import new_key
from slipway.releases import load_lock, load_release
from tests.support.pulumi import Project, pulumi_bin

AIM = 2.0
SIGNATURE = "4dabf18193072939515e22adb298388d"
"""marks a special value; https://github.com/pulumi/pulumi/blob/master/sdk/go/common/resource/sig/sig.go"""
OURS = f"""\
import runpy
runpy.run_path({str(ROOT / "__main__.py")!r}, run_name="__main__")
"""
BARE = """\
import json
import pulumi
from pathlib import Path
for kind, name, custom, inputs in json.loads(Path("resources.json").read_text()):
    (pulumi.CustomResource if custom else pulumi.ComponentResource)(kind, name, inputs)
"""


@dataclass(frozen=True)
class Registered:
    """One resource as the engine saw it."""

    kind: str
    name: str
    custom: bool
    inputs: dict[str, Any]


def stack_config(count: int) -> dict[str, object]:
    """Configuration of a stack of `count` hosts that exist, with a small model on their CPUs."""
    key = new_key().public
    inventory = [
        {"name": f"h{number}", "address": f"10.0.{number // 250}.{number % 250 + 1}", "host_key": key}
        for number in range(1, count + 1)
    ]
    return {
        "slipway:provider": "ssh",
        "slipway:release": RELEASE,
        "slipway:model": {"name": "smollm2-135m-instruct", "context": 2048},
        "slipway:ssh": {"inventory": inventory},
    }


def artifacts() -> dict[str, object]:
    """`artifacts.json` as if the release's images were built: a preview looks at their digests only."""
    release, lock, digest = load_release(RELEASE), load_lock(RELEASE), f"sha256:{'0' * 64}"
    images = {
        pin.build or name: {
            "name": pin.build or name,
            "recipe": "bench",
            "digest": lock.images.get(name) or digest,
            "image_id": lock.images.get(name) or digest,
            "archive": f"/nonexistent/{name}.tar",
            "archive_sha256": "0" * 64,
            "size": 0,
        }
        for name, pin in release.images.items()
        if pin.reference is None
    }
    return {"images": images, "bases": {}}


def registered(events: Iterable[str]) -> list[Registered]:
    """The resources in an engine's event log, one JSON document a line; Pulumi's own are left out."""
    found = []
    for line in events:
        metadata = json.loads(line).get("resourcePreEvent", {}).get("metadata")
        if metadata and not metadata["type"].startswith("pulumi:"):
            new = metadata["new"]
            name = metadata["urn"].rsplit("::", 1)[-1]
            inputs = revealed(new.get("inputs") or {})
            found.append(Registered(metadata["type"], name, new.get("custom", False), inputs))
    return found


def revealed(value: Any) -> Any:
    """Inputs as a program gives them: the log shows a secret as an object, with its value or without."""
    if isinstance(value, dict):
        if SIGNATURE in value:
            return revealed(value.get("value", "secret"))
        return {key: revealed(each) for key, each in value.items()}
    return [revealed(each) for each in value] if isinstance(value, list) else value


def preview(project: Project, *arguments: str) -> float:
    """Seconds of one `pulumi preview`."""
    said = ("--stack", project.stack, "--non-interactive", "--color", "never", "--suppress-progress")
    return timed(
        "pulumi preview", ["pulumi", "preview", *said, *arguments], env=project.env, cwd=project.folder
    ).seconds


def report(
    measured: dict[str, list[float]], hosts: int, kinds: dict[str, int], versions: dict[str, str] | None = None
) -> Report:
    return Report(
        name="preview",
        what=f"pulumi preview of a plan of {hosts} hosts: {sum(kinds.values())} resources",
        seconds=measured,
        ratios={"slipway / bare": ("slipway", "bare")},
        versions=versions or {},
        facts={"hosts": hosts, "resources": kinds, "aims": {"slipway / bare": AIM}},
    )


def run(hosts: int, rounds: int) -> Report:
    """Makes two throw-away projects and previews them in turn."""
    cli = pulumi_bin()
    if cli is None:
        raise BenchError("there is no Pulumi CLI", where="bench", fix="Run `make images`, which builds one.")
    measured: dict[str, list[float]] = {"slipway": [], "bare": []}
    with workspace() as folder:
        (folder / "state").mkdir()
        (folder / "state" / "artifacts.json").write_text(json.dumps(artifacts()))
        environment = {"SLIPWAY_STATE": str(folder / "state")}
        projects = {name: Project(folder / name, cli, environment=environment) for name in measured}
        settings = projects["slipway"].folder / f"Pulumi.{projects['slipway'].stack}.yaml"
        with settings.open("a") as file:
            yaml.safe_dump({"config": stack_config(hosts)}, file)
        (projects["slipway"].folder / "__main__.py").write_text(OURS)
        log = folder / "events.json"
        say(f"slipway: {preview(projects['slipway'], '--event-log', str(log)):.2f} s (warm-up, not counted)")
        resources = registered(log.read_text().splitlines())
        kinds = dict(Counter(resource.kind for resource in resources))
        if not kinds:
            raise BenchError("the engine's log names no resource", where="slipway", fix="See tests/support/pulumi.py.")
        (projects["bare"].folder / "__main__.py").write_text(BARE)
        (projects["bare"].folder / "resources.json").write_text(
            json.dumps([(each.kind, each.name, each.custom, each.inputs) for each in resources])
        )
        say(f"bare: {preview(projects['bare']):.2f} s (warm-up, not counted)")
        for number in range(1, rounds + 1):
            for name, project in projects.items():
                measured[name].append(preview(project))
                say(f"round {number}: {name}: {measured[name][-1]:.2f} s")
        cli_version = timed("pulumi version", ["pulumi", "version"], env=projects["bare"].env).stdout.strip()
    return report(measured, hosts, kinds, {"pulumi": cli_version, "pulumi-sdk": version("pulumi")})


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.preview", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--hosts", type=int, default=200, metavar="N", help="hosts in the plan (default: 200)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="previews of each program (default: 3)")
    return parser.parse_args(argv)


def main() -> None:
    arguments = parse()
    run(arguments.hosts, arguments.rounds).show()


if __name__ == "__main__":
    run_main(main)
