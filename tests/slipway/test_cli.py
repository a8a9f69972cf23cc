from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from slipway.cli import Effects, build_app
from slipway.cli.app import stack_name
from slipway.cli.effects import Doctor
from slipway.cli.status import HostStatus
from slipway.errors import ReleaseError
from slipway.releases import Lock, Release, Resolved, load_lock, lock_path
from slipway.settings import schema_text
from tests.slipway.stack_files import BUILT, LOCAL

FILE = "stacks/Pulumi.local.yaml"
TEMPLATES = {
    "manifest.toml": """
file = [{template = "a.j2", path = "/etc/a"}, {template = "k.j2", path = "/etc/k", secret = true}]
""",
    "a.j2": "{{ plan.stack }}\n",
    "k.j2": "{{ api_key_sha256 }}",
}


def no_doctor() -> Doctor:
    raise AssertionError("nothing here asks for a doctor")


class World:
    """Effects over a dictionary of files."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self.files = dict(files)
        self.looks: list[list[HostStatus]] = []
        self.effects = Effects(
            read_text=self.read,
            write_text=self.write,
            resolve_packages=lambda release, sources, key: Resolved(load_lock(release.name).packages),
            write_bundle=self.bundle,
            image_digests=dict,
            built_images=lambda: BUILT,
            templates=lambda _folder: TEMPLATES,
            read_start=lambda path, limit: (self.read(path).encode()[:limit], len(self.read(path).encode())),
            host_statuses=lambda stack, every: self.looks,
            list_folder=self.list_folder,
            now=lambda: datetime.fromisoformat("2026-11-26T12:00+02:00"),
            doctor=no_doctor,
        )

    def bundle(self, release: Release, lock: Lock, path: str) -> int:
        self.files[path] = release.name
        return len(lock.packages)

    def list_folder(self, path: str) -> tuple[str, ...]:
        if path in self.files:
            raise NotADirectoryError(20, "Not a directory")
        raise FileNotFoundError(2, "No such file or directory")

    def read(self, path: str) -> str:
        if path not in self.files:
            raise FileNotFoundError(2, "No such file or directory")
        return self.files[path]

    def write(self, path: str, text: str) -> None:
        if path.startswith("/proc"):
            raise PermissionError(13, "Permission denied")
        self.files[path] = text

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(build_app(self.effects), list(arguments), env={"COLUMNS": "120", "TERM": "dumb"})


@pytest.fixture
def world() -> World:
    return World({FILE: LOCAL, "broken.yaml": LOCAL + "  slipway:prox: {}\n  slipway:hosts: {count: 0}\n"})


def test_check(world: World) -> None:
    result = world.run("check", FILE)
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{FILE}: no problems\n", "")


def test_check_says_every_problem_on_a_line_of_its_own(world: World) -> None:
    result = world.run("check", "broken.yaml")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines() == [
        "broken.yaml: slipway:prox (line 5): 'prox' is no setting. Did you mean proxy?",
        "broken.yaml: slipway:hosts.count (line 6): 0 is less than 1. Write a number from 1 to 1000",
    ]


def test_check_for_programs(world: World) -> None:
    result = world.run("check", "broken.yaml", "--json")
    assert result.exit_code == 2
    problems = json.loads(result.stdout)["problems"]
    assert [(problem["key"], problem["line"]) for problem in problems] == [
        ("slipway:prox", 5),
        ("slipway:hosts.count", 6),
    ]
    good = world.run("check", FILE, "--json")
    assert (good.exit_code, json.loads(good.stdout)) == (0, {"file": FILE, "problems": []})


def test_check_of_no_file(world: World) -> None:
    result = world.run("check", "lost.yaml")
    assert result.exit_code == 2
    assert result.stderr.startswith(
        "lost.yaml: (file): this cannot be read: No such file or directory. Stack files are"
    )


def test_check_of_no_text(world: World) -> None:
    def read(path: str) -> str:
        return b"\xff".decode()

    world.effects = replace(world.effects, read_text=read)
    result = world.run("check", "image.png")
    assert result.exit_code == 2
    assert "this is no UTF-8 text" in result.stderr


def test_schema(world: World) -> None:
    assert world.run("schema").stdout == schema_text()
    assert world.run("schema", "--out", "docs/s.json").exit_code == 0
    assert world.files["docs/s.json"] == schema_text()


def test_releases(world: World) -> None:
    assert "local-2026.11  CPU only, Debian 12: the local stack (debian:12, amd64)" in world.run("releases").stdout


def test_releases_say_what_they_drive_and_until_when(world: World) -> None:
    line = next(line for line in world.run("releases").stdout.splitlines() if line.startswith("r580-2026.11-ubuntu-24"))
    assert "driver 580.159.03, CUDA 13.0, long-term branch, fixes until 2028-06" in line


def test_check_says_that_a_release_is_not_locked(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slipway.releases.is_locked", lambda name: False)
    assert world.run("check", FILE).stdout.splitlines() == [
        f"{FILE}: no problems",
        "release local-2026.11 is not locked yet: run `slipway lock --release local-2026.11`",
    ]


def test_lock(world: World) -> None:
    result = world.run("lock", "--release", "local-2026.11")
    assert result.exit_code == 0
    path = str(lock_path("local-2026.11"))
    assert world.files[path] == Path(path).read_text(encoding="utf-8")


def test_lock_pins_images_when_asked(world: World) -> None:
    digest = "sha256:" + "a" * 64
    world.effects = replace(world.effects, image_digests=lambda: {"proxy": digest, "unrelated": digest})
    world.run("lock")
    assert f'[images]\nproxy = "{digest}"\n' in world.files[str(lock_path("local-2026.11"))]


def test_lock_check_needs_nothing(world: World) -> None:
    def resolve(release: Release, sources: tuple[str, ...], key: str) -> Resolved:
        raise AssertionError(release)

    world.effects = replace(world.effects, resolve_packages=resolve)
    result = world.run("lock", "--check")
    assert result.exit_code == 0
    assert "local-2026.11: the lock is current\n" in result.stdout


def test_lock_check_says_which_are_not_locked(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slipway.cli.locking.is_locked", lambda name: False)
    result = world.run("lock", "--check")
    assert result.exit_code == 0
    assert "local-2026.11: not locked, see `slipway lock --release local-2026.11`\n" in result.stdout


def test_a_release_without_a_lock_is_locked_by_its_name_only(world: World) -> None:
    asked: list[tuple[str, tuple[str, ...], str]] = []

    def resolve(release: Release, sources: tuple[str, ...], key: str) -> Resolved:
        asked.append((release.name, sources, key))
        raise ReleaseError("no archive here", where=release.name, fix="Go where it is")

    world.effects = replace(world.effects, resolve_packages=resolve)
    world.files["key.asc"] = "the key"
    release = "r580-2026.11-ubuntu-24.04"
    result = world.run("lock", "--release", release, "--source", "deb https://mirror.example/ /", "--key", "key.asc")
    assert (result.exit_code, result.stderr) == (2, f"{release}: no archive here. Go where it is\n")
    assert asked == [(release, ("deb https://mirror.example/ /",), "the key")]


def test_a_bundle_is_of_one_locked_release(world: World) -> None:
    result = world.run("lock", "--release", "local-2026.11", "--bundle", "b.tar")
    assert result.exit_code == 0, result.stderr
    assert "17 packages in b.tar" in result.stdout
    assert world.files["b.tar"] == "local-2026.11"
    assert "Add --release NAME" in world.run("lock", "--bundle", "b.tar").stderr
    assert "no lock" in world.run("lock", "--release", "r580-2026.11-debian-13", "--bundle", "b.tar").stderr


def test_a_bundle_that_cannot_be_written(world: World) -> None:
    def full(release: Release, lock: Lock, path: str) -> int:
        raise OSError(28, "No space left on device")

    world.effects = replace(world.effects, write_bundle=full)
    result = world.run("lock", "--release", "local-2026.11", "--bundle", "b.tar")
    assert (result.exit_code, "b.tar: this cannot be written: No space left" in result.stderr) == (1, True)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("engine-vllm", "'engine-vllm' is no digest"),
        ("engine-vllm=sha256:12", "is no digest"),
        (
            "proxy=sha256:" + "a" * 64,
            "pulls no image 'proxy'. Its images without a digest: dcgm-exporter, device-plugin",
        ),
    ],
)
def test_digests_that_cannot_be_pinned(world: World, option: str, said: str) -> None:
    result = world.run("lock", "--release", "r580-2026.11-ubuntu-24.04", "--image", option)
    assert result.exit_code == 2
    assert said in result.stderr


def test_lock_check_fails_when_stale(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    stale = load_lock("local-2026.11").model_copy(update={"fingerprint": "sha256:" + "0" * 64})
    monkeypatch.setattr("slipway.cli.locking.load_lock", lambda name: stale)
    result = world.run("lock", "--check")
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr == (
        "locks: release local-2026.11: fingerprint: the release's pins changed since the lock was made. "
        "Run `slipway lock` and commit what it writes\n"
    )


def test_lock_says_why_it_cannot(world: World) -> None:
    def resolve(release: Release, sources: tuple[str, ...], key: str) -> Resolved:
        raise ReleaseError("apt cannot be asked", where=release.name, fix="Run it on Debian")

    world.effects = replace(world.effects, resolve_packages=resolve)
    result = world.run("lock")
    assert (result.exit_code, result.stderr) == (2, "local-2026.11: apt cannot be asked. Run it on Debian\n")
    assert world.run("lock", "--release", "local-2026.1").exit_code == 2


def test_plan(world: World) -> None:
    result = world.run("plan", FILE)
    assert result.exit_code == 0
    for said in (
        "local (provider local, release local-2026.11)",
        "smollm2-135m-instruct, 93.8 MiB, 8192 tokens a request",
        "llama.cpp on 127.0.0.1:9000, CPU",
        "port 8443 (TLS)",
        f"proxy sha256:{'b' * 64}",
        "0: local-0",
        "60 s to start + 93.8 MiB at 50 MB/s from disk = 62 s",
    ):
        assert said in result.stdout


def test_plan_for_programs(world: World) -> None:
    data = json.loads(world.run("plan", FILE, "--json").stdout)
    assert data["stack"] == "local"
    assert data["replicas"] == [{"index": 0, "port": 9000, "gpus": [], "slice": None}]
    assert data["deadlines"]["health"]["seconds"] == 62


def test_plan_shows_the_advice_that_it_follows(world: World) -> None:
    world.files["auto.yaml"] = LOCAL + (
        "  slipway:gpu: auto\n"
        "  slipway:workload: {requests_per_second: 0.005, prompt: {mean: 64}, output: {mean: 32}, first_token: 20s}\n"
    )
    shown = world.run("plan", "auto.yaml")
    assert shown.exit_code == 0
    assert "advice" in shown.stdout
    assert "CPU, 1 host local machine (2 vCPUs)" in shown.stdout
    assert "scaling" in shown.stdout
    assert "80% of the KV cache" in shown.stdout
    data = json.loads(world.run("plan", "auto.yaml", "--json").stdout)
    assert len(data["advice"]) == 3
    assert "llama.cpp" in data["advice"][0]
    assert data["proxy"]["concurrency"] == int(data["engine"]["argv"][data["engine"]["argv"].index("--parallel") + 1])
    assert data["scaling"].keys() == {"waiting", "kv", "cold_start"}
    without = json.loads(world.run("plan", FILE, "--json").stdout)
    assert "advice" not in without
    assert without["scaling"] is None


def test_plan_before_images_are_built(world: World) -> None:
    world.effects = replace(world.effects, built_images=dict)
    assert "not-built-yet:engine-llama-cpp" in world.run("plan", FILE).stdout


def test_render(world: World) -> None:
    result = world.run("render", FILE, "--out", "out/")
    assert (result.exit_code, result.stdout) == (0, "out/etc/a\n")
    assert world.files["out/etc/a"] == "local\n"
    assert "out/etc/k" not in world.files


def test_what_cannot_be_written(world: World) -> None:
    result = world.run("render", FILE, "--out", "/proc/x")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "/proc/x/etc/a: this cannot be written: Permission denied. Check the path and its permissions\n"
    )


@pytest.mark.parametrize(
    ("file", "name"),
    [("stacks/Pulumi.local.yaml", "local"), ("Pulumi.a.b.yml", "a.b"), ("x.yaml", "x"), ("Pulumi.yaml", "stack")],
)
def test_stack_names(file: str, name: str) -> None:
    assert stack_name(file) == name


def test_help_imports_nothing_heavy() -> None:
    """`slipway --help` has to answer within 300 ms."""
    program = (
        "import sys\n"
        "from slipway.cli import Effects, build_app\n"
        "try:\n"
        "    build_app(Effects(*[None] * 12))(['--help'])\n"
        "except SystemExit as end:\n"
        "    assert not end.code\n"
        "heavy = {'cronsim', 'pydantic', 'jinja2', 'yaml', 'rich', 'pulumi', 'paramiko', 'grpc', 'httpx'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "check" in done.stdout
    assert done.stdout.splitlines()[-1] == "HEAVY []"


WELL = HostStatus("h1", "10.0.0.1", 0, "r2", "r2", "converged", engines=2, engines_up=2)
AT_WORK = HostStatus("h2", "10.0.0.2", 1, "r1", "r2", "updating", "packages", stopped=True, engines=1, drift={"a": "b"})
DRIFTED = replace(WELL, name="h3", wave=2, drift={f"packages.p{index}": "expected 1, found 2" for index in range(5)})
DOWN = HostStatus("h4", "10.0.0.4", 2, problem="no answer on 10.0.0.4:22")


def test_status_shows_each_host(world: World) -> None:
    world.looks = [[DOWN, DRIFTED, AT_WORK, WELL]]
    result = world.run("status", "--stack", "prod")
    assert result.exit_code == 4
    words = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert words[0] == "wave host release state traffic off"
    assert words[1] == "0 h1 10.0.0.1 r2 converged 2 of 2 engines up"
    assert words[2] == "1 h2 10.0.0.2 r1 → r2 updating (packages) none: let go"
    assert "2 h4 10.0.0.4 none no answer unknown no answer on 10.0.0.4:22" in words
    assert "packages.p2: expected 1, found 2" in words
    assert words[-1] == "and 2 more"


def test_status_of_a_stack_where_all_is_well(world: World) -> None:
    world.looks = [[WELL]]
    result = world.run("status", "--stack", "prod", "--json")
    assert result.exit_code == 0
    shown = json.loads(result.stdout)
    assert (shown[0]["name"], shown[0]["well"], shown[0]["drift"]) == ("h1", True, {})


def test_status_that_looks_again_prints_a_line_of_json_a_look(world: World) -> None:
    world.looks = [[AT_WORK], [WELL]]
    result = world.run("status", "--stack", "prod", "--json", "--watch", "5")
    assert [json.loads(line)[0]["state"] for line in result.stdout.splitlines()] == ["updating", "converged"]
    assert result.exit_code == 0
    assert "converged" in world.run("status", "--stack", "prod", "--watch", "5").stdout
