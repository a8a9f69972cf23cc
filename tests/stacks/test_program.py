"""What the program asks Pulumi for, and how it refuses: seen by the CLI, without a host."""

from __future__ import annotations

import re
import shlex

import pytest

from tests.stacks.conftest import Configure, inventory
from tests.support.pulumi import ROOT

WEIGHTS_DOC = ROOT / "docs" / "weights.md"

pytestmark = [pytest.mark.pulumi]


def test_a_plan_becomes_hosts_services_and_gates(configure: Configure) -> None:
    project = configure(ssh=inventory(5), rollout={"canary": 1, "wave": 2, "bake": "1m"})
    preview = project.preview()
    steps = preview.resource_steps()
    assert set(steps.values()) == {"create"}
    assert {"keys", "test", "h1", "h2", "h3", "h4", "h5", "wave-0", "wave-1"} == steps.keys()
    assert "wave-2" not in steps, "nothing waits behind the last wave"


def test_hosts_know_their_windows_and_waves_their_domains(configure: Configure) -> None:
    hosts = inventory(4)
    for index, host in enumerate(hosts["inventory"]):
        host["domain"] = "ab"[index % 2]
    window = {"cron": "0 2 * * 1-5", "duration": "4h", "zone": "Europe/Helsinki"}
    preview = configure(ssh=hosts, rollout={"canary": 0, "wave": "100%", "bake": "1m", "windows": [window]}).preview()
    steps = preview.resource_steps()
    assert {"wave-0"} == {name for name in steps if name.startswith("wave-")}, "a wave for each of two domains"
    planned = [event["resourcePreEvent"]["metadata"]["new"] for event in preview.events if "resourcePreEvent" in event]
    told = [new["inputs"]["windows"] for new in planned if new["type"] == "slipway:index:Host"]
    assert told == [[{"cron": "0 2 * * 1-5", "seconds": 14400, "zone": "Europe/Helsinki"}]] * 4


ADVISED = {
    "gpu": "auto",
    "engine": None,
    "model": "smollm2-135m-instruct",
    "workload": {
        "requests_per_second": 0.1, "prompt": {"mean": 64}, "output": {"mean": 64},
    },
    "offers": [{"provider": "ssh", "instance": "mine", "vcpus": 2, "memory": "4GiB", "price": 0.1}],
}  # fmt: skip


def test_what_advice_chose_is_shown_and_provisioned(configure: Configure) -> None:
    preview = configure(**ADVISED).preview()
    assert preview.resource_steps().keys() >= {"keys", "test", "h1"}
    said = preview.diagnostics()
    assert "smollm2-135m-instruct: CPU, 1 host ssh mine (2 vCPUs), llama.cpp, 1 replica a host, €73 a month" in said
    assert "first token" in said
    assert "meets every target" in said


def test_what_nothing_carries_is_one_sentence(configure: Configure) -> None:
    refused = configure(**ADVISED | {"workload": {"requests_per_second": 1000}}).preview(expect=None)
    assert refused.exit != 0
    assert "slipway:gpu: smollm2-135m-instruct: none of 1 offer meets every target" in refused.diagnostics()
    assert "Traceback" not in refused.diagnostics()


def test_every_stack_has_the_same_outputs(configure: Configure) -> None:
    shown = configure().preview().diagnostics()
    for name in ("endpoint", "model", "release", "hosts", "ca_certificate", "ssh_public_key", "api_key"):
        assert name in shown
    assert "[secret]" in shown


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"release": "local-2026.12"}, "there is no release 'local-2026.12'. Did you mean local-2026.11?"),
        ({"api_key": "sk-in-the-clear"}, "slipway:api_key: this secret is not encrypted"),
        ({"provider": "local", "ssh": None}, "the base bookworm was not built on this machine yet. Run: make images"),
    ],
)
def test_what_cannot_be_is_one_sentence(configure: Configure, settings: dict[str, object], sentence: str) -> None:
    refused = configure(**settings).preview(expect=None)
    said = refused.diagnostics()
    assert refused.exit != 0
    assert sentence in said, said
    assert "sk-in-the-clear" not in said
    for noise in ("Traceback", "unhandled"):
        assert noise not in said


def test_images_that_were_not_built_are_asked_for(configure: Configure) -> None:
    refused = configure(images=False).preview(expect=None)
    assert refused.exit != 0
    assert "was not built here yet" in refused.diagnostics()
    assert "make images" in refused.diagnostics()


def test_every_problem_is_shown_at_once(configure: Configure) -> None:
    refused = configure(proxy={"prot": 8443}, hosts={"count": 0}).preview(expect=None)
    said = refused.diagnostics()
    assert "Did you mean port?" in said
    assert "slipway:hosts.count" in said


def test_all_but_what_runs_on_hosts_can_be_made_first(configure: Configure) -> None:
    """So that a bucket is there to be filled: the command of docs/weights.md."""
    (command,) = re.findall(r"^pulumi up --stack prod (--exclude '.*Host::.*)$", WEIGHTS_DOC.read_text(), re.MULTILINE)
    preview = configure(ssh=inventory(2)).preview(*shlex.split(command))
    planned = [event["resourcePreEvent"]["metadata"] for event in preview.events if "resourcePreEvent" in event]
    made = {step["type"] for step in planned if step["op"] == "create"}
    assert "slipway:index:StackKeys" in made
    assert not {"slipway:index:Host", "slipway:index:Service", "slipway:index:Gate"} & made
