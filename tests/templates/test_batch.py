"""The program that puts a file of requests to an engine, run here against a stub of one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from slipway.manifests import objects
from tests.templates.clusters import case, rendered
from tests.templates.proxy_bench import free_port, wait_for
from tests.templates.stub_engine import StubEngine

pytestmark = pytest.mark.net

CHAT = "/v1/chat/completions"


def script() -> str:
    (config,) = [
        item for item in objects(rendered(case("batch"))) if item["kind"] == "ConfigMap" and "batch.py" in item["data"]
    ]
    text: str = config["data"]["batch.py"]
    return text


def line(custom_id: str, **body: Any) -> str:
    return json.dumps({"custom_id": custom_id, "method": "POST", "url": CHAT, "body": body})


class Batch:
    """A claim's folder, and the program as the pod runs it."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port, self.text = folder, port, script()

    def ask(self, *lines: str) -> None:
        (self.folder / "in.jsonl").write_text("\n".join(lines) + "\n")

    def start(self, **changed: str) -> subprocess.Popen[str]:
        environment = {
            "BATCH_INPUT": str(self.folder / "in.jsonl"),
            "BATCH_OUTPUT": str(self.folder / "new" / "out.jsonl"),
            "ENGINE_PORT": str(self.port),
            "ENGINE_HEALTH": "/health",
            "CONCURRENCY": "4",
            "START_SECONDS": "20",
            "SILENCE_SECONDS": "20",
            "PAUSE_SECONDS": "0.05",
        }
        return subprocess.Popen(
            [sys.executable, "-c", self.text],
            env={**os.environ, **environment, **changed},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, **changed: str) -> tuple[int, str, str]:
        running = self.start(**changed)
        out, err = running.communicate(timeout=60)
        return running.returncode, out, err

    def answers(self) -> dict[str, Any]:
        lines = [json.loads(text) for text in (self.folder / "new" / "out.jsonl").read_text().splitlines()]
        found = {one["custom_id"]: one for one in lines}
        assert len(found) == len(lines), "a request was answered twice"
        return found


@pytest.fixture
def engine() -> Iterator[StubEngine]:
    with StubEngine().serving() as stub:
        yield stub


@pytest.fixture
def batch(tmp_path: Path, engine: StubEngine) -> Batch:
    return Batch(tmp_path, engine.port)


def test_every_request_is_answered_once(batch: Batch, engine: StubEngine) -> None:
    batch.ask(*(line(f"r{number}") for number in range(20)))
    code, out, err = batch.run()
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "0 were answered before, 20 now, 0 of them with an error"
    found = batch.answers()
    assert set(found) == {f"r{number}" for number in range(20)}
    assert {one["response"]["status_code"] for one in found.values()} == {200}
    assert found["r7"]["response"]["body"]["choices"]
    assert batch.run()[1].startswith("20 were answered before, 0 now")
    assert engine.served == 20


def test_a_run_that_was_killed_is_gone_on_with(batch: Batch, engine: StubEngine) -> None:
    batch.ask(*(line(f"r{number}", delay=0.2) for number in range(12)))
    running = batch.start()
    wait_for(lambda: engine.served >= 4)
    running.kill()
    running.communicate(timeout=20)
    with (batch.folder / "new" / "out.jsonl").open("a") as output:
        output.write('{"id": "batch_req_r99", "custom_id": "r9')
    code, out, _ = batch.run()
    assert code == 0
    assert not out.startswith("0 were answered before")
    assert set(batch.answers()) == {f"r{number}" for number in range(12)}


def test_a_pod_that_has_to_give_way_ends_what_is_open(batch: Batch, engine: StubEngine) -> None:
    batch.ask(*(line(f"r{number}", delay=0.5) for number in range(40)))
    running = batch.start()
    wait_for(lambda: engine.running == 4)
    running.send_signal(signal.SIGTERM)
    out, _ = running.communicate(timeout=20)
    assert running.returncode == 1
    assert "the next run goes on" in out
    assert engine.aborted == 0
    assert len(batch.answers()) == engine.served < 40


def test_what_is_no_request_is_said_and_the_rest_answered(batch: Batch) -> None:
    batch.ask("{", line("good"), json.dumps({"custom_id": "x", "method": "GET", "url": CHAT}), line("s", stream=True))
    assert batch.run()[0] == 0
    found = batch.answers()
    assert found["good"]["error"] is None
    refused = {name: one["error"]["code"] for name, one in found.items() if one["error"]}
    assert refused == dict.fromkeys(("line-1", "line-3", "line-4"), "invalid_request")


def test_an_engine_that_never_starts_is_one_line(batch: Batch) -> None:
    batch.ask(line("r"))
    code, _, err = batch.run(ENGINE_PORT=str(free_port()), START_SECONDS="0.2")
    assert (code, err) == (1, "the engine does not answer within 0 s\n")


def test_requests_that_are_not_there_are_one_line(batch: Batch) -> None:
    code, _, err = batch.run()
    assert code == 1
    assert err.startswith("the requests cannot be read: ")
    assert len(err.splitlines()) == 1


def test_two_runs_do_not_write_one_file(batch: Batch, engine: StubEngine) -> None:
    batch.ask(*(line(f"r{number}", delay=1.0) for number in range(4)))
    running = batch.start()
    wait_for(lambda: engine.running > 0)
    code, _, err = batch.run()
    assert (code, err) == (1, f"another run writes {batch.folder / 'new' / 'out.jsonl'}\n")
    running.communicate(timeout=20)
    assert len(batch.answers()) == 4
