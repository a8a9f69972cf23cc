"""The provider under the real Pulumi CLI, with resources for tests."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from pathlib import Path

import pytest

from tests.support.pulumi import PLUGIN

pytestmark = [pytest.mark.pulumi, pytest.mark.slow]

CLEAR = "the clear text of a secret"


def test_life_of_resources(kits):
    """Preview with unknowns, secrets, new code, a nested diff, drift, destroy: one project, as it lives."""
    program = f"""
    first = Kit("first", path=FILES + "/first", content=pulumi.Output.secret({CLEAR!r}),
                desired={{"packages": [{{"name": "a", "version": "1"}}, {{"name": "b", "version": "1"}}]}})
    Kit("second", path=FILES + "/second", content=first.derived)
    pulumi.export("derived", first.derived)
    """
    kits.program(program)

    preview = kits.preview()
    assert preview.resource_steps() == {"first": "create", "second": "create"}
    assert "content: [secret]" in preview.output
    assert list(kits.files.iterdir()) == []

    first = kits.up()
    assert first.resource_steps() == {"first": "create", "second": "create"}
    assert "wrote [secret]" in first.diagnostics()
    assert CLEAR not in first.diagnostics()
    assert kits.outputs() == {"derived": f"derived from {CLEAR}"}
    assert CLEAR not in kits.checkpoint()
    assert '"derived"' in kits.checkpoint()
    assert (kits.files / "second").read_text() == f"derived from {CLEAR}"

    # A later version of the provider's code: other code, another process, the same state.
    kits.environment["SLIPWAY_PLUGIN_RESOURCES"] = "tests.bootstrap.plugin.later_resources"
    assert kits.up().resource_steps() == {"first": "same", "second": "same"}

    kits.program(program.replace('"name": "b", "version": "1"', '"name": "b", "version": "2"'))
    changed = kits.preview()
    assert changed.detailed_diff("first") == {"desired.packages[1].version": "update"}
    assert '~ version: "1" => "2"' in changed.output

    kits.program(program)
    (kits.files / "first").write_text("something else")
    refreshed = kits.refresh()
    assert refreshed.resource_steps() == {"first": "update", "second": "same"}
    drifted = kits.preview()
    assert drifted.detailed_diff("first") == {'drift["file.content"]': "delete"}
    assert "expected another, found 14 bytes" in drifted.output
    assert kits.up().resource_steps()["first"] == "update"
    assert (kits.files / "first").read_text() == CLEAR

    kits.destroy()
    assert list(kits.files.iterdir()) == []


def test_partial_failure_is_kept_and_resumes(kits):
    obstacle = kits.files / "obstacle"
    obstacle.touch()
    kits.program(
        """
        first = Kit("first", path=FILES + "/first", content="a", fail=FILES + "/obstacle", big=300_000)
        Kit("second", path=FILES + "/second", content="b", opts=pulumi.ResourceOptions(depends_on=[first]))
        """
    )
    failed = kits.up(expect=1)
    assert "first: no way to place a. Remove the obstacle." in failed.diagnostics()
    assert "Traceback" not in failed.diagnostics()
    kept = kits.resources_in_state()
    assert kept.keys() == {"first"}
    assert kept["first"]["initErrors"] == ["first: no way to place a. Remove the obstacle."]
    assert kept["first"]["outputs"]["size"] == 1

    obstacle.unlink()
    resumed = kits.up()
    assert resumed.resource_steps() == {"first": "update", "second": "create"}
    assert "initErrors" not in kits.resources_in_state()["first"]


def test_refused_inputs_name_the_property(kits):
    kits.program('Kit("first", path="relative", contend="b")')
    said = kits.preview(expect=1).diagnostics()
    assert "property contend value {b} has a problem: there is no such input; did you mean content?" in said
    assert "is missing: what is in it" in said


def test_interrupt_ends_at_a_safe_point_and_keeps_the_state(kits):
    kits.program('Kit("first", path=FILES + "/first", content="a", seconds=60)')
    started = kits.start("up")
    started.wait_until((kits.files / "first").exists)
    started.interrupt()
    done = started.wait()
    assert done.exit != 0
    assert "first: stopped. Run `pulumi up` again." in done.diagnostics()
    assert kits.resources_in_state()["first"]["initErrors"]

    kits.program('Kit("first", path=FILES + "/first", content="a", seconds=0)')
    assert kits.up().resource_steps() == {"first": "update"}


def test_killed_provider_is_said_and_the_next_up_goes_on(kits):
    kits.program(
        """
        first = Kit("first", path=FILES + "/first", content="a")
        Kit("second", path=FILES + "/second", content="b", seconds=60, triggers={"pid": first.pid})
        """
    )
    started = kits.start("up")
    started.wait_until((kits.files / "second").exists)
    plugin = provider_process(kits)
    os.kill(plugin, signal.SIGKILL)
    done = started.wait()
    assert done.exit != 0
    assert "slipway" in done.diagnostics()
    assert "second" in done.diagnostics()
    # The file backend saves what is done; what died half way is a pending create there.
    assert "first" in kits.resources_in_state()

    kits.program(
        """
        first = Kit("first", path=FILES + "/first", content="a")
        Kit("second", path=FILES + "/second", content="b", triggers={"pid": first.pid})
        """
    )
    assert kits.up().resource_steps() == {"first": "same", "second": "create"}


def test_forty_creates_at_once(kits):
    kits.program('for i in range(40): Kit(f"kit-{i}", path=f"{FILES}/{i}", content="a", seconds=1)')
    done = kits.up("--parallel", "64")
    times = [event["timestamp"] for event in done.events if "resourcePreEvent" in event or "resOutputsEvent" in event]
    print(f"forty creates of one second: {max(times) - min(times)} s, the command {done.seconds:.1f} s")
    assert len(kits.resources_in_state()) == 40
    assert max(times) - min(times) < 10


def test_import(kits):
    (kits.files / "there").write_text("was there before")
    kits.program(
        """
        Kit("first", path=FILES + "/there", content="was there before",
            opts=pulumi.ResourceOptions(import_=FILES + "/there"))
        """
    )
    assert kits.up().resource_steps() == {"first": "import"}
    assert kits.resources_in_state()["first"]["outputs"]["size"] == 16
    assert kits.up().resource_steps() == {"first": "same"}


def provider_process(kits):
    """The provider that this project's engine started: the one whose environment has its backend."""
    backend = f"PULUMI_BACKEND_URL=file://{kits.folder / 'backend'}".encode()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            ours = backend in (process / "environ").read_bytes()
            if ours and b"bootstrap.plugin" in (process / "cmdline").read_bytes():
                return int(process.name)
    raise AssertionError("no provider runs")


def test_schema_is_what_the_cli_reads(kits):
    schema = json.loads(kits.pulumi("package", "get-schema", str(PLUGIN / "pulumi-resource-slipway")))
    assert "slipway:index:Kit" in schema["resources"]
