"""The files of a host, compared with the reviewed ones, and read as their readers will read them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from slipway.desired import HostFile
from slipway.plan_types import Plan
from tests.support.golden import check_golden
from tests.templates.plans import API_KEY, API_KEY_SHA256, CASES, SECOND_KEY_SHA256, gpu_plan
from tests.templates.rendering import TEMPLATES, render_host

UNITS = "/etc/systemd/system/"


def by_path(plan: Plan) -> dict[str, HostFile]:
    return {file.path: file for file in render_host(plan, [API_KEY_SHA256, SECOND_KEY_SHA256])}


def systemd_words(unit: str, option: str) -> list[list[str]]:
    """Arguments of every `option` line of a unit, taken apart as systemd.service(5) says: quotes, \\, %% and $$."""
    joined = re.sub(r"\\\n\s*", " ", unit)
    lines = re.findall(rf"^{option}=(.*)$", joined, re.MULTILINE)
    commands = []
    for line in lines:
        words = re.findall(r'"((?:[^"\\]|\\.)*)"|(\S+)', line)
        commands.append(
            [
                re.sub(r"\\(.)", lambda escape: {"n": "\n", "t": "\t"}.get(escape[1], escape[1]), quoted or plain)
                .replace("%%", "%")
                .replace("$$", "$")
                for quoted, plain in words
            ]
        )
    return commands


def docker_create(unit: str) -> list[str]:
    (command,) = (words for words in systemd_words(unit, "ExecStartPre") if "create" in words)
    return command


@pytest.mark.parametrize("case", CASES)
def test_golden(case: str, request: pytest.FixtureRequest) -> None:
    files = by_path(CASES[case])
    rendered = {file.path: file.content for file in files.values()}
    rendered["files.txt"] = "".join(
        f"{file.mode:04o} {file.owner} {'secret' if file.secret else 'plain'} {file.path}\n" for file in files.values()
    )
    check_golden(f"host/{case}", rendered, request.config.getoption("--update-golden"))


@pytest.mark.parametrize("case", CASES)
def test_no_file_holds_a_key_in_clear(case: str) -> None:
    for file in by_path(CASES[case]).values():
        assert API_KEY not in file.content
        assert (API_KEY_SHA256 in file.content) == file.secret
        assert file.content.endswith("\n")
        assert not file.content.endswith("\n\n")
        assert all(line == line.rstrip() for line in file.content.splitlines()), file.path


def test_every_template_is_used() -> None:
    manifest = (TEMPLATES / "manifest.toml").read_text(encoding="utf-8")
    used = {path.name for path in TEMPLATES.glob("*.j2") if path.name in manifest}
    assert {path.name for path in TEMPLATES.glob("*.j2")} - used == {"container.j2"}


@pytest.mark.parametrize("case", CASES)
def test_engine_unit_hands_docker_the_arguments_of_the_plan(case: str) -> None:
    plan = CASES[case]
    for replica in plan.replicas:
        unit = by_path(plan)[UNITS + replica.unit].content
        create = docker_create(unit)
        image = create.index(plan.engine.image.reference)
        assert tuple(create[image + 1 :]) == plan.engine.argv_for(replica)
        for name, value in plan.engine.env.items():
            assert f"{name}={value}" in create[:image]
        devices = [create[index + 1] for index, word in enumerate(create) if word == "--device"]
        if plan.host.gpu is not None and plan.host.gpu.devices == "runtime":
            assert devices == []
            assert create[create.index("--runtime") + 1] == "nvidia"
            assert f"NVIDIA_VISIBLE_DEVICES={','.join(replica.devices)}" in create[:image]
        else:
            assert devices == [f"nvidia.com/gpu={device}" for device in replica.devices]


def test_containers_have_no_privileges() -> None:
    plan = gpu_plan()
    for path, file in by_path(plan).items():
        if not path.startswith(UNITS):
            continue
        create = " ".join(docker_create(file.content))
        for flag in ("--read-only", "--cap-drop ALL", "--security-opt no-new-privileges", "--pull never"):
            assert flag in create, path
        assert "--privileged" not in create
        assert "--cap-add" not in create
        assert ("--user 65532:65532" in create) == ("collector" not in path)


def test_an_argument_cannot_leave_their_quotes() -> None:
    plan = gpu_plan()
    argument = 'a"b\\c%h$HOME\nd\te;'
    changed = replace(plan, engine=replace(plan.engine, argv=(argument,)))
    unit = by_path(changed)[UNITS + plan.replicas[0].unit].content
    assert docker_create(unit)[-1] == argument


@pytest.mark.parametrize("case", CASES)
def test_systemd_takes_the_units(case: str, tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    assert analyze, "the package systemd is not on this machine; run `tools/need.sh test`"
    (tmp_path / "docker.service").write_text("[Service]\nExecStart=/bin/true\n", encoding="utf-8")
    units = []
    for path, file in by_path(CASES[case]).items():
        if path.startswith(UNITS):
            units.append(tmp_path / Path(path).name)
            # the docker CLI is on the hosts, not here
            units[-1].write_text(file.content.replace("/usr/bin/docker", "/bin/true"), encoding="utf-8")
    result = subprocess.run(
        [analyze, "verify", "--man=no", "--generators=no", *units],
        env=os.environ | {"SYSTEMD_UNIT_PATH": f"{tmp_path}:/usr/lib/systemd/system:/lib/systemd/system"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    assert "slipway" not in result.stderr


@pytest.mark.parametrize("name", ["drain", "streams"])
def test_scripts_are_posix_shell(name: str, tmp_path: Path) -> None:
    script = tmp_path / name
    script.write_text(by_path(CASES["cpu"])[f"/usr/local/lib/slipway/{name}"].content, encoding="utf-8")
    checker = ["shellcheck", "--shell=sh"] if shutil.which("shellcheck") else ["sh", "-n"]
    result = subprocess.run([*checker, str(script)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
