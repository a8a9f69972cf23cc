from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from slipway.errors import RenderError
from slipway.plan import make_plan
from slipway.releases import load_lock, load_release
from slipway.render import FileEntry, Manifest, load_templates, parse_manifest, render, render_host
from slipway.service_plan import service_desired
from tests.slipway.stack_files import BUILT, settings

PLAN = make_plan(
    settings("  slipway:engine: {replicas: 2}\n"), load_release("local-2026.11"), load_lock("local-2026.11"), BUILT
)

MANIFEST = """
[[file]]
template = "one.j2"
path = "/etc/{{ plan.stack }}.conf"
mode = "0640"
owner = "root:65532"

[[file]]
template = "each.j2"
path = "/etc/systemd/system/{{ replica.unit }}"
each = "replica"

[[file]]
template = "keys.j2"
path = "/etc/keys"
secret = true
"""
TEMPLATES = {
    "manifest.toml": MANIFEST,
    "one.j2": "{% if true %}\nstack {{ plan.stack }}\n{% endif %}\n",
    "each.j2": "{% from 'macros.j2' import port %}\n{{ port(replica) }}\n",
    "macros.j2": "{% macro port(replica) %}port {{ replica.port }}{% endmacro %}",
    "keys.j2": "{{ api_key_sha256 | join(',') }}\n",
}


def one(text: str, **more: str) -> str:
    """The content of a template rendered by itself."""
    manifest = Manifest(file=(FileEntry(template="x.j2", path="/x"),))
    return render({"x.j2": text, **more}, manifest, {"plan": PLAN, "keys": ["a"]})[0].content


def test_files_of_a_host() -> None:
    files = render_host(TEMPLATES, PLAN, ["k1", "k2"])
    assert [(file.path, file.content) for file in files] == [
        ("/etc/local.conf", "stack local\n"),
        ("/etc/systemd/system/slipway-engine-0.service", "port 9000\n"),
        ("/etc/systemd/system/slipway-engine-1.service", "port 9001\n"),
        ("/etc/keys", "k1,k2\n"),
    ]
    assert (files[0].mode, files[0].owner, files[0].secret) == (0o640, "root:65532", False)
    assert (files[3].mode, files[3].secret) == (0o644, True)


def test_secret_files_wait_for_their_secrets() -> None:
    assert "/etc/keys" not in {file.path for file in render_host(TEMPLATES, PLAN)}


@pytest.mark.parametrize(
    ("text", "where", "said"),
    [
        ("a\n{{ nothing }}\n", "x.j2:2", "'nothing' is undefined"),
        ("a\n\n{{ plan.nothing }}\n", "x.j2:3", "has no attribute 'nothing'"),
        ("a\n{% if %}\n", "x.j2:2", "this is no template"),
        ("{% include 'lost.j2' %}", "x.j2", "there is no template lost.j2"),
        ("a\n{{ 1 / 0 }}\n", "x.j2:2", "ZeroDivisionError"),
        ("a\n{{ plan.stack + 1 }}\n", "x.j2:2", "TypeError"),
        ("a\n{{ plan.__class__.__mro__ }}\n", "x.j2:2", "unsafe"),
        ("a\n{{ keys.append('b') }}\n", "x.j2:2", "is unsafe"),
        ("a\n{% from 'm.j2' import broken %}\n{{ broken() }}\n", "m.j2:2", "'lost' is undefined"),
    ],
)
def test_a_fault_names_template_and_line(text: str, where: str, said: str) -> None:
    with pytest.raises(RenderError) as caught:
        one(text, **{"m.j2": "{% macro broken() %}\n{{ lost }}{% endmacro %}"})
    assert caught.value.where == where
    assert said in str(caught.value)


def test_a_path_with_a_fault() -> None:
    manifest = Manifest(file=(FileEntry(template="x.j2", path="/{{ lost }}"),))
    with pytest.raises(RenderError, match="'lost' is undefined"):
        render({"x.j2": ""}, manifest, {})


def test_two_files_at_one_path() -> None:
    entry = FileEntry(template="x.j2", path="/x")
    with pytest.raises(RenderError, match="/x is rendered twice"):
        render({"x.j2": ""}, Manifest(file=(entry, entry)), {})


@pytest.mark.parametrize(
    "text",
    ["[[file]", '[[file]]\ntemplate = "x"\n', '[[file]]\ntemplate = "x"\npath = "/x"\nmode = "rw"\n', "surprise = 1\n"],
)
def test_a_manifest_that_cannot_be_read(text: str) -> None:
    with pytest.raises(RenderError, match="manifest"):
        parse_manifest(text)


def test_no_manifest() -> None:
    with pytest.raises(RenderError, match=r"no manifest\.toml"):
        render_host({}, PLAN)


def test_templates_are_read_with_their_folders(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/a.j2").write_text("a")
    (tmp_path / "manifest.toml").write_text("file = []")
    (tmp_path / "README.md").write_text("no template")
    assert load_templates(tmp_path) == {"manifest.toml": "file = []", "sub/a.j2": "a"}


def test_the_service_of_a_host() -> None:
    files = render_host(load_templates(Path(__file__).parents[2] / "templates" / "host"), PLAN)
    service = service_desired(PLAN, files, extra_proxy_files=("/etc/slipway/tls/server.pem", "/etc/slipway/keys.acl"))
    assert [unit.name for unit in service.units] == [
        "slipway-engine-0.service",
        "slipway-engine-1.service",
        "slipway-proxy.service",
        "slipway-collector.service",
    ]
    engine, _, proxy, collector = service.units
    assert (engine.container, engine.ports) == ("slipway-engine-0", (9000,))
    assert engine.restart_on == ("/etc/systemd/system/slipway-engine-0.service",)
    assert proxy.ports == (8443, 8404)
    assert proxy.restart_on == (
        "/etc/systemd/system/slipway-proxy.service",
        "/etc/slipway/haproxy.cfg",
        "/etc/slipway/keys.acl",
        "/etc/slipway/tls/server.pem",
    )
    assert collector.restart_on == ("/etc/systemd/system/slipway-collector.service", "/etc/slipway/collector.yaml")
    assert collector.ports == (9464, 13133)
    assert service.images == tuple(image.reference for image in BUILT.values())
    assert service.directories == (
        "/etc/slipway",
        "/etc/slipway/tls",
        "/usr/local/lib/slipway",
        "/var/lib/slipway",
        "/var/lib/slipway/models",
        "/var/lib/slipway/models/b179c9523d0e6a0f",
    )
    assert {unit.restart_on[0] for unit in service.units} <= {file.path for file in service.files}


def test_another_image_changes_a_unit() -> None:
    """A unit is restarted when its file changes, so the image has to be in it."""
    files = render_host(load_templates(Path(__file__).parents[2] / "templates" / "host"), PLAN)
    by_path = {file.path: file.content for file in files}
    for unit, image in (
        ("slipway-engine-0.service", PLAN.engine.image),
        ("slipway-proxy.service", PLAN.proxy.image),
        ("slipway-collector.service", PLAN.collector.image),
    ):
        assert image.reference in by_path[f"/etc/systemd/system/{unit}"]


def test_another_release_alone_changes_no_unit() -> None:
    """A changed unit is started anew: under another driver only, an engine would load its model for nothing."""
    templates = load_templates(Path(__file__).resolve().parents[2] / "templates" / "host")
    before, after = (
        {file.path: file.content for file in render_host(templates, plan)}
        for plan in (PLAN, replace(PLAN, release="another"))
    )
    assert [path for path in after if after[path] != before[path]] == ["/etc/slipway/collector.yaml"]
