"""The first thing that anybody does with Slipway, as they do it. The tests of this module go in order, on one stack."""

from __future__ import annotations

import json
import ssl
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import ROOT, LocalStack, World

pytestmark = [pytest.mark.alone, pytest.mark.hosts, pytest.mark.pulumi, pytest.mark.slow]

MODEL = "smollm2-135m-instruct"


def ask(outputs: dict[str, Any], key: str, **body: Any) -> httpx.Response:
    """One chat completion over verified TLS."""
    return httpx.post(
        f"{outputs['endpoint']}/chat/completions",
        json={"model": MODEL, "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 8, **body},
        headers={"Authorization": f"Bearer {key}"},
        verify=ssl.create_default_context(cadata=outputs["ca_certificate"]),
        timeout=60,
    )


def test_ctrl_c_in_the_middle_ends_at_a_safe_point(stack: LocalStack) -> None:
    stopped = stack.interrupted_up(after="packages:")
    assert stopped.exit != 0
    print(stopped.output)
    assert "Traceback" not in stopped.output
    assert "cancel" in stopped.output.lower() or "interrupt" in stopped.output.lower()


def test_make_up_goes_on_and_serves_a_real_model(stack: LocalStack) -> None:
    up = stack.make("up")
    assert up.exit == 0, up.output[-4000:]
    assert "Traceback" not in up.output
    answer = up.output.rpartition("  model     ")[2]
    assert "Paris" in answer, up.output[-1500:]
    for line in ("endpoint  https://", "API key   pulumi stack output api_key --show-secrets"):
        assert line in up.output


def test_the_outputs_are_those_of_every_stack(stack: LocalStack) -> None:
    outputs = stack.outputs()
    assert {"endpoint", "model", "release", "hosts", "ca_certificate", "api_key"} <= outputs.keys()
    assert outputs["model"] == MODEL
    shown = stack.pulumi("stack", "output", "--json").output
    assert outputs["api_key"] not in shown
    assert "[secret]" in shown


def test_no_secret_is_in_clear_in_the_state_or_on_the_host(stack: LocalStack) -> None:
    key = stack.outputs()["api_key"]
    for file in (stack.state / "pulumi").rglob("*"):
        if file.is_file():
            text = file.read_bytes()
            assert key.encode() not in text, file
            assert b"BEGIN OPENSSH PRIVATE KEY" not in text, file
    found = stack.on_host(f"grep -rlF -e {key} /etc /run/slipway /var/lib/slipway /var/lib/docker/containers || true")
    assert found.stdout == ""


def test_the_endpoint_wants_the_key_and_streams(stack: LocalStack) -> None:
    outputs = stack.outputs()
    assert ask(outputs, "wrong").status_code == 401
    whole = ask(outputs, outputs["api_key"])
    assert whole.status_code == 200
    assert whole.json()["choices"][0]["message"]["content"]
    streamed = ask(outputs, outputs["api_key"], stream=True)
    assert streamed.text.count("data: ") > 2
    assert streamed.text.rstrip().endswith("data: [DONE]")


def test_the_sidecar_ships_the_logs_with_stack_and_model(stack: LocalStack) -> None:
    shipped = stack.on_host(
        "cd /var/lib/slipway/collector; "
        "for i in $(seq 40); do grep -q chat/completions logs.jsonl && break; sleep 0.5; done; "
        "grep chat/completions logs.jsonl | tail -n 1"
    ).stdout
    assert "chat/completions" in shipped
    for attribute in ("slipway.stack", "slipway.model", "slipway.release"):
        assert attribute in shipped


def test_doctor_measures_the_host_and_says_what_it_costs(stack: LocalStack) -> None:
    """How fast this computer is, nobody knows: every check has an answer, and the code follows from the verdicts."""
    script = 'exports=$(make env) && eval "$exports" && exec .venv/bin/slipway doctor --stack local --json'
    said = stack.run("bash", "-c", script)
    assert said.exit in (0, 4), said.output
    checks = json.loads(said.output[said.output.index("{") :])["checks"]
    found = {(check["group"], check["name"]): check for check in checks}
    assert found["stack local", "state"]["found"] == "1 of 1 hosts made"
    assert {check["verdict"] for check in checks} <= {"ok", "off", "not asked"}
    assert (said.exit == 4) == any(check["verdict"] == "off" for check in checks)
    assert "load in" in found["local-0", "disk throughput"]["cost"]
    for name in ("system", "memory", "CPU steal", "disk latency", "time"):
        assert found["local-0", name]["verdict"] in ("ok", "off"), found["local-0", name]


def test_a_second_make_up_changes_nothing_and_says_so(stack: LocalStack) -> None:
    up = stack.make("up")
    assert up.exit == 0, up.output[-2000:]
    assert "8 unchanged" in up.output
    for word in ("created", "updated", "replaced", "deleted"):
        assert f"{word}\n" not in up.output


def test_neither_changes_a_tracked_file(stack: LocalStack) -> None:
    assert World.now(stack.state).tracked == stack.before.tracked
    assert "encryptionsalt" not in (ROOT / "stacks" / "Pulumi.local.yaml").read_text()


def test_plain_pulumi_sees_no_change(stack: LocalStack) -> None:
    preview = stack.pulumi("preview", "--expect-no-changes")
    assert preview.exit == 0, preview.output[-2000:]


def test_refresh_says_what_moved_and_up_puts_it_back(stack: LocalStack) -> None:
    stack.on_host(
        "apt-mark unhold docker.io; systemctl stop slipway-collector; echo '# by hand' >> /etc/slipway/haproxy.cfg"
    )
    refresh = stack.pulumi("refresh", "--yes", "--skip-preview", "--diff")
    assert refresh.exit == 0, refresh.output[-2000:]
    for moved in ("docker.io", "slipway-collector", "haproxy.cfg"):
        assert moved in refresh.output, refresh.output[-4000:]
    up = stack.pulumi("up", "--yes", "--skip-preview")
    assert up.exit == 0, up.output[-4000:]
    state = stack.on_host(
        "apt-mark showhold; systemctl is-active slipway-collector; grep -c 'by hand' /etc/slipway/haproxy.cfg || true"
    ).stdout.split()
    assert "docker.io" in state
    assert state[-2:] == ["active", "0"]
    assert stack.pulumi("preview", "--expect-no-changes").exit == 0


def test_a_dead_machine_is_started_again_with_its_disk(stack: LocalStack) -> None:
    stack.on_host("echo kept > /root/kept; sync; systemctl poweroff --force")
    refresh = stack.pulumi("refresh", "--yes", "--skip-preview")
    assert refresh.exit == 0, refresh.output[-4000:]
    up = stack.pulumi("up", "--yes", "--skip-preview")
    assert up.exit == 0, up.output[-4000:]
    assert stack.on_host("cat /root/kept").stdout == "kept\n"
    outputs = stack.outputs()
    assert ask(outputs, outputs["api_key"]).status_code == 200


def test_make_down_leaves_nothing_behind(stack: LocalStack) -> None:
    down = stack.make("down")
    assert down.exit == 0, down.output[-4000:]
    assert World.now(stack.state).left_behind(stack.before) == {}
    again = stack.make("down")
    assert again.exit == 0
    assert "nothing is up" in again.output
