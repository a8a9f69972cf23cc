"""The real Pulumi CLI in tests: find it, and run a throwaway project that knows the slipway provider by its path."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.terminal import foreground

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = ROOT / "bootstrap" / "plugin"
PASSPHRASE = "a passphrase for tests"


def pulumi_bin() -> Path | None:
    """The folder of the CLI: $SLIPWAY_PULUMI_BIN, the newest in the cache, or the one on PATH; None without any."""
    if given := os.environ.get("SLIPWAY_PULUMI_BIN"):
        return Path(given)
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    cache = Path(os.environ.get("SLIPWAY_CACHE") or home / "slipway")
    built = sorted(cache.glob("pulumi/*/bin/pulumi"), key=lambda path: path.stat().st_mtime)
    if built:
        return built[-1].parent
    on_path = shutil.which("pulumi")
    return Path(on_path).parent if on_path else None


@dataclass(frozen=True)
class Run:
    """What one CLI command left. `events` are the engine's, in order; empty when it did not say any."""

    exit: int
    output: str
    events: list[dict[str, Any]]
    seconds: float

    def resource_steps(self) -> dict[str, str]:
        """Name of each resource (without the stack and providers) to what is or would be done with it."""
        steps = {}
        for event in self.events:
            metadata = (event.get("resourcePreEvent") or event.get("resOutputsEvent") or {}).get("metadata")
            if metadata and not metadata["type"].startswith("pulumi:"):
                steps[metadata["urn"].rsplit("::", 1)[-1]] = metadata["op"]
        return steps

    def detailed_diff(self, name: str) -> dict[str, str]:
        """Property path to kind of change, for one resource."""
        for event in self.events:
            metadata = event.get("resourcePreEvent", {}).get("metadata", {})
            if metadata.get("urn", "").endswith(f"::{name}"):
                return {path: change["diffKind"] for path, change in (metadata.get("detailedDiff") or {}).items()}
        return {}

    def diagnostics(self) -> str:
        """Everything the run said to a person, colours taken out."""
        events = [event["diagnosticEvent"] for event in self.events if "diagnosticEvent" in event]
        said = [event["message"] for event in events if event["severity"] != "debug"]
        return re.sub(r"<\{%[^%]*%\}>", "", "".join(said)) + self.output


@dataclass
class Project:
    """A project with one stack in `folder`. `resources` names the module whose RESOURCES the provider serves;
    `providers` are more plugins, by name and the folder that they are in."""

    folder: Path
    bin: Path
    resources: str | None = None
    stack: str = "test"
    environment: dict[str, str] = field(default_factory=dict)
    providers: dict[str, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        (self.folder / "backend").mkdir(parents=True, exist_ok=True)
        named = {"slipway": PLUGIN, **self.providers}
        plugins = [{"name": name, "path": str(folder)} for name, folder in named.items()]
        (self.folder / "Pulumi.yaml").write_text(
            "name: throwaway\n"
            f"runtime: {{name: python, options: {{virtualenv: {json.dumps(str(Path(sys.prefix)))}}}}}\n"
            f"plugins: {{providers: {json.dumps(plugins)}}}\n"
        )
        self.program("")
        self.pulumi("stack", "init", self.stack)

    @property
    def env(self) -> dict[str, str]:
        served = {"SLIPWAY_PLUGIN_RESOURCES": self.resources} if self.resources else {}
        return {
            **os.environ,
            "PATH": f"{self.bin}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "SLIPWAY_PYTHON": sys.executable,
            "PULUMI_HOME": str(self.folder / "home"),
            "PULUMI_DEBUG_COMMANDS": "true",  # for --event-log
            "PULUMI_SKIP_UPDATE_CHECK": "1",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "1",
            "PULUMI_BACKEND_URL": f"file://{self.folder / 'backend'}",
            "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
            **served,
            **self.environment,
        }

    def program(self, source: str) -> None:
        """Write `__main__.py`; `pulumi` and `stacks.resources` as `slipway` are imported for it."""
        head = "import pulumi\nimport stacks.resources as slipway\n"
        (self.folder / "__main__.py").write_text(head + textwrap.dedent(source))

    def pulumi(self, *arguments: str, check: bool = True, timeout: float = 120) -> str:
        """One CLI command that is not about resources; its standard output."""
        done = subprocess.run(
            ["pulumi", *arguments, "--non-interactive"],
            cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start(self, verb: str, *arguments: str) -> Started:
        """Start preview, up, refresh or destroy in a process group of its own, as a terminal does."""
        events = self.folder / f"events-{time.monotonic_ns()}.json"
        confirm = () if verb == "preview" else ("--yes", "--skip-preview")
        quiet = ("--non-interactive", "--color", "never", "--suppress-progress")
        command = ["pulumi", verb, "--stack", self.stack, *quiet]
        log = self.folder / f"{events.stem}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                foreground(*command, "--event-log", str(events), *confirm, *arguments),
                cwd=self.folder, env=self.env, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        return Started(process, events, log, time.monotonic())

    def run(self, verb: str, *arguments: str, expect: int | None = 0) -> Run:
        done = self.start(verb, *arguments).wait()
        assert expect is None or done.exit == expect, f"exit {done.exit}\n{done.diagnostics()}"
        return done

    def preview(self, *arguments: str, expect: int | None = 0) -> Run:
        return self.run("preview", "--diff", *arguments, expect=expect)

    def up(self, *arguments: str, expect: int | None = 0) -> Run:
        return self.run("up", *arguments, expect=expect)

    def refresh(self, *arguments: str, expect: int | None = 0) -> Run:
        return self.run("refresh", *arguments, expect=expect)

    def destroy(self, *arguments: str, expect: int | None = 0) -> Run:
        return self.run("destroy", *arguments, expect=expect)

    def outputs(self) -> dict[str, Any]:
        """Stack outputs, secrets in the clear."""
        outputs: dict[str, Any] = json.loads(self.pulumi("stack", "output", "--json", "--show-secrets"))
        return outputs

    def checkpoint(self) -> str:
        """The state file's text, as it lies on the disk."""
        return next((self.folder / "backend").glob(f".pulumi/stacks/**/{self.stack}.json")).read_text()

    def resources_in_state(self) -> dict[str, dict[str, Any]]:
        """Name to the resource's record in the state file (secrets encrypted)."""
        state = json.loads(self.checkpoint())["checkpoint"].get("latest") or {}
        return {
            record["urn"].rsplit("::", 1)[-1]: record
            for record in state.get("resources", [])
            if not record["type"].startswith("pulumi:")
        }


@dataclass
class Started:
    """A CLI command under way."""

    process: subprocess.Popen[bytes]
    events: Path
    log: Path
    begun: float

    def interrupt(self) -> None:
        """Ctrl-C: SIGINT to the whole process group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def wait_until(self, condition: Callable[[], object], timeout: float = 60) -> None:
        """Wait for something that the command does; it must not end before."""
        deadline = time.monotonic() + timeout
        while not condition():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"it did not come to that:\n{self.wait().diagnostics()}")
            time.sleep(0.02)

    def wait(self, timeout: float = 120) -> Run:
        try:
            exit_status = self.process.wait(timeout)
        finally:
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        lines = self.events.read_text().splitlines() if self.events.exists() else []
        events = [json.loads(line) for line in lines if line.strip()]
        return Run(exit_status, self.log.read_text(), events, time.monotonic() - self.begun)
