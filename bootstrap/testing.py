"""The fakes that tests drive in place of a host. They ship in the package and record what was asked of them."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from bootstrap.session import Command, Progress, Result, failure

RECEIPT_PATH = "/var/lib/slipway/receipt.json"

Answer = Result | Exception | str | Callable[[Command], Result]
"""a string is the standard output of a command that succeeded; an exception is raised"""


@dataclass(frozen=True)
class FakeFile:
    """A file that was put on a fake host."""

    content: bytes
    mode: int
    owner: str


@dataclass
class FakeSession:
    """Records commands and answers them from a script.

    `answers` are pairs of a pattern (searched in the command's script) and an answer. The first pair whose pattern is
    found answers; a list of answers is used up in order, the last one staying. A command that nothing matches gets
    `default`, or, where that is None, an AssertionError, so that a test notices a command it did not expect.
    """

    name: str = "h1"
    answers: Iterable[tuple[str, Answer | list[Answer]]] = ()
    default: Answer | None = ""
    commands: list[Command] = field(default_factory=list)
    files: dict[str, FakeFile] = field(default_factory=dict)
    uploads: list[tuple[Path, str, str]] = field(default_factory=list)
    masked: list[str] = field(default_factory=list)
    pinned_host_key: str = "ssh-ed25519 AAAAfake"
    reconnects: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    closed: bool = False

    def __post_init__(self) -> None:
        self._answers: list[tuple[str, list[Answer]]] = [
            (pattern, list(answer) if isinstance(answer, list) else [answer]) for pattern, answer in self.answers
        ]

    def __enter__(self) -> FakeSession:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def scripts(self) -> list[str]:
        """The scripts of the commands so far, in order."""
        return [command.script for command in self.commands]

    def answer(self, pattern: str, *answers: Answer) -> None:
        """Answers commands matching `pattern` from now on, before every earlier rule."""
        self._answers.insert(0, (pattern, list(answers)))

    def run(self, command: Command) -> Result:
        self.commands.append(command)
        answer = self._find(command)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, str):
            answer = Result(0, answer)
        result = answer if isinstance(answer, Result) else answer(command)
        if command.check and result.exit != 0:
            raise failure(self.name, command, result)
        return result

    def _find(self, command: Command) -> Answer:
        for pattern, answers in self._answers:
            if re.search(pattern, command.script):
                return answers.pop(0) if len(answers) > 1 else answers[0]
        if self.default is None:
            raise AssertionError(f"{self.name}: no answer for: {command.script}")
        return self.default

    def put(self, path: str, content: bytes, mode: int = 0o644, owner: str = "root:root") -> None:
        self.files[path] = FakeFile(content, mode, owner)

    def upload(self, local: Path, remote: str, sha256: str, progress: Progress | None = None) -> None:
        self.uploads.append((local, remote, sha256))
        if progress:
            progress(1, 1)

    def mask(self, secret: str) -> None:
        self.masked.append(secret)

    def reconnect(self, deadline: float) -> None:
        self.reconnects.append(deadline)

    def until_lost(self, deadline: float) -> None:
        self.losses.append(deadline)

    def close(self) -> None:
        self.closed = True


@dataclass
class RecordingLog:
    """Keeps what was said, as (level, text)."""

    lines: list[tuple[str, str]] = field(default_factory=list)

    def info(self, text: str) -> None:
        self.lines.append(("info", text))

    def warning(self, text: str) -> None:
        self.lines.append(("warning", text))

    def progress(self, text: str) -> None:
        self.lines.append(("progress", text))

    @property
    def text(self) -> str:
        """Everything said, one line each."""
        return "\n".join(text for _, text in self.lines)


class SimulatedHost(FakeSession):
    """A fake host with a state: it answers the facts script from it, and the commands of the operations change it.

    `fail` maps a pattern to what happens (once, in order) when a command whose script or path matches comes: an
    exception is raised after the command took effect when `late`, before it otherwise; a Result is answered instead.
    """

    def __init__(self, name: str = "h1", *, available: Iterable[tuple[str, str]] = (), os: str = "debian:12") -> None:
        super().__init__(name)
        self.os = os
        self.boot_id = "boot-1"
        self.available = set(available)
        self.packages: dict[str, str] = {"base-files": "12.4"}
        self.states: dict[str, str] = {}
        """dpkg's letters of a package that is not `ii`"""
        self.lists_read = False
        self.held: set[str] = set()
        self.directories: dict[str, str] = {}
        self.docker_active = False
        self.images: set[str] = set()
        self.fail: list[tuple[str, Exception | Result, bool]] = []

    def fail_on(self, pattern: str, outcome: Exception | Result, *, late: bool = False) -> None:
        """The next command matching `pattern` ends with `outcome`."""
        self.fail.append((pattern, outcome, late))

    def run(self, command: Command) -> Result:
        self.commands.append(command)
        fault = self._fault(command.script)
        if fault and not fault[2]:
            return self._end(command, fault[1])
        output = self._act(command.script)
        return self._end(command, fault[1] if fault else Result(0, output))

    def _fault(self, text: str) -> tuple[str, Exception | Result, bool] | None:
        for fault in self.fail:
            if re.search(fault[0], text):
                self.fail.remove(fault)
                return fault
        return None

    def _end(self, command: Command, outcome: Exception | Result) -> Result:
        if isinstance(outcome, Exception):
            raise outcome
        if command.check and outcome.exit != 0:
            raise failure(self.name, command, outcome)
        return outcome

    def put(self, path: str, content: bytes, mode: int = 0o644, owner: str = "root:root") -> None:
        if (fault := self._fault(f"put {path}")) and isinstance(fault[1], Exception):
            raise fault[1]
        super().put(path, content, mode, owner)

    def _act(self, script: str) -> str:
        if "WANTED=" in script:
            return self._facts(script)
        if "apt-get update" in script:
            self.lists_read = True
        elif "apt-get install" in script:
            asked = script.partition("2>&1")[0]
            for package in re.findall(r"(?<= )([a-z0-9][\w.+-]*)-(?= )", asked):
                self.packages.pop(package, None)
                self.held.discard(package)
            for package, version in re.findall(r"(?<= )([a-z0-9][\w.+-]*)=([\w.+:~-]+)", asked):
                if self.packages.get(package) != version:
                    self.held.discard(package)
                self.packages[package] = version
                self.states.pop(package, None)
        elif "--configure -a" in script:
            self.states.clear()
        elif match := re.match(r"apt-mark -q (hold|unhold) (.*)", script):
            change = self.held.update if match[1] == "hold" else self.held.difference_update
            change(match[2].split())
        elif "systemctl" in script and "docker.service" in script:
            self.docker_active = True
        elif match := re.search(r"docker (?:image inspect|pull -q) (\S+)", script):
            self.images.add(match[1])
        for mode, user, group, path in re.findall(r"install -d -m (\d+) -o (\w+) -g (\w+) (\S+)", script):
            self.directories[path] = f"{mode} {user}:{group}"
        return ""

    def _facts(self, script: str) -> str:
        """What the facts script would print."""
        names = re.findall(r"^echo '(--\w+) (\w+)'", script, re.MULTILINE)
        wanted = re.search(r"WANTED='?([^']*?)'?\nFILES=", script)
        self._wanted = [line.split("\t") for line in wanted[1].splitlines()] if wanted and wanted[1] else []
        return "".join(f"{mark} {fact}\n{getattr(self, f'_{fact}')()}\n{mark} = 0\n" for mark, fact in names)

    def _system(self) -> str:
        name, _, version = self.os.partition(":")
        return (
            f"ID={name}\nVERSION_ID={version}\narch=amd64\nkernel=6.1.0\nboot_id={self.boot_id}\n"
            "clock=2026-11-24T10:00:00Z\nMemTotal=4096\nMemAvailable=2048\n"
        )

    def _packages(self) -> str:
        lines = [
            f"{name}\t{version}\t{'h' if name in self.held else 'i'}{self.states.get(name, 'ii')[1:]} "
            for name, version in sorted(self.packages.items())
        ]
        return "0\n" + "\n".join(lines) + "\n"

    def _candidates(self) -> str:
        off = [name for name, version in self._wanted if self.packages.get(name) != version or name in self.states]
        known = [
            f"{name} | {version} | m" for name, version in sorted(self.available) if name in off and self.lists_read
        ]
        return "\n".join([*(f"wanted {name}" for name in off), *known]) + "\n"

    def _docker(self) -> str:
        if not self.docker_active:
            return "ActiveState=inactive\nUnitFileState=\nstale=0\n"
        images = json.dumps([{"Id": image, "RepoDigests": None} for image in sorted(self.images)])
        file = self.files.get("/etc/docker/daemon.json")
        config = json.loads(file.content) if file else {}
        cdi = ["/etc/cdi", "/var/run/cdi"] if config.get("features", {}).get("cdi") else None
        info = {"ServerVersion": "26.1", "CDISpecDirs": cdi, "Runtimes": {"runc": {}, **config.get("runtimes", {})}}
        return f"ActiveState=active\nUnitFileState=enabled\nstale=0\n--\n{json.dumps(info)}\n{images}\n"

    def _files(self) -> str:
        # The receipt is a fact of its own, and no file that an update puts back.
        lines = [
            f"file {path} {base64.b64encode(file.content).decode()}"
            for path, file in self.files.items()
            if path != RECEIPT_PATH
        ]
        return "\n".join([*lines, *(f"directory {path} {kind}" for path, kind in self.directories.items())])

    def _receipt(self) -> str:
        found = self.files.get(RECEIPT_PATH)
        return found.content.decode() if found else ""

    def _hold(self) -> str:
        return ""

    def _disks(self) -> str:
        return "/ 1000 500\n"

    def _users(self) -> str:
        return "root:x:0\n"

    def _nothing(self) -> str:
        return ""

    _locks = _units = _ports = _nothing
