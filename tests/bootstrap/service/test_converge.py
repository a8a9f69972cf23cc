"""A service in a box: real scripts, real curl, stub engine; systemd and Docker are fakes."""

from __future__ import annotations

from typing import Any

import pytest

from bootstrap.service import read_service, remove_service
from bootstrap.session import Command
from bootstrap.spare import Others
from slipway.desired import HostFile, ModelFile, Unit
from slipway.errors import CancelledError, PortInUseError, ServiceError, UnreachableError, VerifyError
from tests.bootstrap.service.conftest import CONFIG, KEY, SECRET, UNITS, World

pytestmark = pytest.mark.net


def test_first_install_writes_starts_and_asks_in_order(world: World) -> None:
    report = world.converge(world.desired())
    host = world.session
    assert report.completion == "Hello through the proxy."
    assert "file /etc/slipway/engine.conf" in report.changed
    assert "unit engine.service" in report.changed
    assert list(dict.fromkeys(world.asked)) == [
        "engine /health",
        "engine /v1/models",
        "engine /v1/chat/completions",
        "proxy /v1/chat/completions",
    ]
    starts = [call for call in host.calls if call.startswith(("start", "daemon-reload"))]
    assert starts == ["daemon-reload ", "start engine.service", "start proxy.service"]
    secret = host.path(SECRET).stat()
    assert (secret.st_mode & 0o777, secret.st_gid) == (0o640, 65532)
    assert host.path("/etc/slipway/more").is_dir()
    assert host.path("/var/lib/slipway/bundles/chat").stat().st_mode & 0o777 == 0o700
    assert {"state", "bundle", "swap", "start", "gate health", "gate proxy"} <= set(report.seconds)
    assert "on" not in world.drains()


def test_a_second_run_is_one_round_trip_and_touches_nothing(world: World) -> None:
    world.converge(world.desired())
    world.session.forget()
    world.asked.clear()
    report = world.converge(world.desired())
    assert report.changed == ()
    assert report.completion == "Hello through the proxy."
    assert len(world.session.commands) == 1
    assert world.session.calls == []
    assert world.asked == []


def test_a_changed_file_restarts_only_what_depends_on_it(world: World) -> None:
    world.converge(world.desired())
    world.session.forget()
    world.session.path("/run/slipway/open").write_text("2")
    report = world.converge(world.desired("m2"))
    assert report.changed == (f"file {CONFIG}", "unit engine.service")
    calls = world.session.calls
    assert "start engine.service" in calls
    assert "start proxy.service" not in calls
    assert not any(call.startswith("daemon-reload") for call in calls)
    assert world.drains()[-2:] == ["on", "off"]
    assert world.session.path("/run/slipway/open").read_text().strip() == "0"


def test_a_file_nobody_restarts_on_needs_no_drain(world: World) -> None:
    world.converge(world.desired())
    extra = (HostFile(path="/etc/slipway/note", content="new"),)
    world.session.forget()
    assert world.converge(world.desired(extra=extra)).changed == ("file /etc/slipway/note",)
    assert "on" not in world.drains()
    assert not any(call.startswith("start") for call in world.session.calls)


def test_what_a_bundle_no_longer_has_is_removed(world: World) -> None:
    old = world.desired(extra=(HostFile(path=f"{UNITS}/extra.service", content="[Service]\n"),))
    world.converge(old.model_copy(update={"units": (*old.units, Unit(name="extra.service", container="extra"))}))
    world.session.forget()
    report = world.converge(world.desired())
    assert report.changed == (f"removed {UNITS}/extra.service",)
    assert not world.session.path(f"{UNITS}/extra.service").exists()
    calls = world.session.calls
    assert calls.index("stop extra.service") < calls.index("daemon-reload ")
    assert "disable extra.service" in calls
    assert "docker rm -f extra" in calls
    assert world.converge(world.desired()).changed == ()


def test_drift_is_found_and_put_right(world: World) -> None:
    world.converge(world.desired())
    host = world.session
    host.path(CONFIG).write_text("edited")
    host.path(SECRET).write_text("sk-other")
    host.path("/usr/local/lib/slipway/drain").chmod(0o700)
    (host.state / "units" / "proxy.service.active").write_text("failed")
    (host.state / "units" / "proxy.service.enabled").unlink()
    host.forget()
    drift = {(d.pin, d.expected): d for d in read_service(host, world.desired())}
    assert len(host.commands) == 1
    assert {pin for pin, _ in drift} == {
        f"file {CONFIG}",
        f"file {SECRET}",
        "file /usr/local/lib/slipway/drain",
        "unit proxy.service",
    }
    assert drift[f"file {SECRET}", "as rendered"].found == "changed"
    assert drift["file /usr/local/lib/slipway/drain", "mode 0755"].found == "mode 0700"
    assert all(d.since for d in drift.values() if d.pin.startswith("file"))
    world.converge(world.desired())
    assert read_service(host, world.desired()) == ()
    assert world.converge(world.desired()).changed == ()


def test_health_is_part_of_a_read(world: World) -> None:
    world.converge(world.desired())
    world.loading = 1
    (drift,) = read_service(world.session, world.desired())
    assert (drift.pin, drift.found) == (f"health http://127.0.0.1:{world.engine}/health", "503")


@pytest.mark.parametrize(
    ("config", "fake", "said"),
    [
        ("wrong", "", "engine 0 serves the model other, wanted m"),
        ("sick", "", "engine 0 does not pass /health within 1 s (HTTP 500, out of memory)"),
        ("mute", "", "engine 0 answers a chat request with no text"),
        ("m", "#fake: exit 3\n", "engine 0 (engine.service) exited with status 3 while waiting for its unit"),
        ("m", "#fake: refuse\n", "systemd does not start engine.service: Job for engine.service failed;"),
    ],
)
def test_a_failed_gate_puts_the_old_bundle_back(world: World, config: str, fake: str, said: str) -> None:
    good = world.desired()
    world.converge(good)
    (world.session.state / "docker-logs").write_text(f"loading\ncannot go on with {KEY}\n")
    bad = world.desired(config, fake=fake, gate={"health_deadline": 1})
    with pytest.raises(ServiceError) as caught:
        world.converge(bad)
    text = str(caught.value)
    assert said in text
    assert "the bundle before it was put back and serves again" in text
    assert "cannot go on with [secret]" in text
    assert KEY not in text
    assert world.session.path(CONFIG).read_text() == "m"
    assert world.drains()[-1] == "off"
    assert read_service(world.session, good) == ()
    world.session.forget()
    assert world.converge(good).changed == ()
    assert len(world.session.commands) == 1


def test_a_bundle_with_another_key_is_put_back_without_it(world: World) -> None:
    good = world.desired()
    world.converge(good)
    new_key = "sk-the-next-key"
    files = tuple(f.model_copy(update={"content": new_key}) if f.path == SECRET else f for f in good.files)
    bad = world.desired("wrong").model_copy(
        update={"files": (*files[:2], files[2].model_copy(update={"content": "wrong"}), *files[3:])}
    )
    with pytest.raises(ServiceError, match="serves again"):
        world.converge(bad, new_key)
    assert world.session.path(SECRET).read_text() == KEY


def test_a_failed_first_install_keeps_its_state_and_goes_on(world: World) -> None:
    world.loading = 1000
    desired = world.desired(gate={"health_deadline": 0.5})
    with pytest.raises(ServiceError, match=r"does not pass /health .*HTTP 503, Loading model"):
        world.converge(desired)
    assert read_service(world.session, desired)[0].found == "failed"
    world.loading = 0
    world.session.forget()
    report = world.converge(desired)
    assert report.changed == ()
    assert report.completion == "Hello through the proxy."
    assert not any(call.startswith(("start", "stop")) for call in world.session.calls)


def test_progress_says_what_is_waited_for(world: World) -> None:
    world.loading = 2
    world.converge(world.desired())
    assert "h1: waiting for /health of engine 0: 0 s of 5 s, HTTP 503, Loading model" in world.log.text


def test_a_port_in_use_names_who_holds_it(world: World) -> None:
    (world.session.state / f"ss-{world.engine}").write_text(
        f'LISTEN 0 128 127.0.0.1:{world.engine} 0.0.0.0:* users:(("nginx",pid=4711,fd=6))\n'
    )
    with pytest.raises(
        PortInUseError, match=rf"port {world.engine}, which engine.service needs, is held by nginx \(pid 4711\)"
    ):
        world.converge(world.desired())


def test_missing_images_are_said_before_anything_changes(world: World) -> None:
    (world.session.state / "no-images").touch()
    with pytest.raises(VerifyError, match="the images sha256:abc of service chat are not on the host"):
        world.converge(world.desired())
    assert not world.session.path(CONFIG).exists()


@pytest.mark.parametrize("step", ["send the bundle", "drain, and swap in", "start engine", "wait for", "note that"])
@pytest.mark.parametrize("error", [CancelledError, UnreachableError])
def test_a_run_that_ends_anywhere_is_taken_up(world: World, step: str, error: type[CancelledError]) -> None:
    world.converge(world.desired())
    hit = []

    def stop(command: Command) -> None:
        if step in command.why:
            hit.append(command.why)
            raise error("stopped", where="h1", fix="")

    world.session.before = stop
    with pytest.raises(error):
        world.converge(world.desired("m2"))
    assert len(hit) == 1
    world.session.before = None
    world.session.forget()
    world.converge(world.desired("m2"))
    done = {"wait for", "note that"} & {step}
    assert ("start engine.service" in world.session.calls) == (not done)
    assert world.drains()[-1] == "off"
    assert world.converge(world.desired("m2")).changed == ()
    previous = world.session.path("/var/lib/slipway/bundles/chat/previous/files/etc/slipway/engine.conf")
    assert previous.read_text() == "m"


def test_an_interrupted_update_can_still_be_put_back(world: World) -> None:
    world.converge(world.desired())

    def stop(command: Command) -> None:
        if "start engine" in command.why:
            raise UnreachableError("gone", where="h1", fix="")

    world.session.before = stop
    with pytest.raises(UnreachableError):
        world.converge(world.desired("wrong"))
    world.session.before = None
    with pytest.raises(ServiceError, match="serves again"):
        world.converge(world.desired("wrong"))
    assert world.session.path(CONFIG).read_text() == "m"


def test_secrets_are_in_no_script_and_no_log(world: World) -> None:
    world.loading = 1
    world.converge(world.desired())
    world.converge(world.desired("m2"))
    assert world.session.masked == [KEY, KEY]
    for command in world.session.commands:
        assert KEY not in command.script
        if command.stdin and KEY.encode() in command.stdin:
            assert command.secret
    assert KEY not in world.log.text
    manifest = world.session.path("/var/lib/slipway/bundles/chat/current/manifest.json")
    assert KEY not in manifest.read_text()


def test_a_bundle_that_would_show_the_key_is_refused(world: World) -> None:
    with pytest.raises(ServiceError, match="/etc/slipway/note holds the API key but is not a secret file"):
        world.converge(world.desired(extra=(HostFile(path="/etc/slipway/note", content=f"key {KEY}"),)))
    assert world.session.commands == []


def test_removal_leaves_the_models_and_nothing_else(world: World) -> None:
    world.converge(world.desired())
    model = world.session.path("/var/lib/slipway/models/m.gguf")
    model.parent.mkdir()
    model.write_text("weights")
    host = world.session
    host.forget()
    remove_service(host, world.desired(), world.log, world.cancel)
    left = {str(p.relative_to(host.root)) for p in host.root.rglob("*") if p.is_file()}
    assert {p for p in left if not p.startswith(("bin", "state", "ca", "run"))} == {"var/lib/slipway/models/m.gguf"}
    assert not host.path("/etc/slipway/more").exists()
    assert host.calls[:1] == ["stop proxy.service engine.service"]
    assert "docker rm -f engine proxy" in host.calls
    assert world.drains()[-2:] == ["on", "off"]
    remove_service(host, world.desired(), world.log, world.cancel)


def test_a_service_drains_only_where_the_fleet_can_spare_it(world: World) -> None:
    others = Others(lambda: {"h2": "its proxy says 503"}, 0, patience=0.0)
    world.converge(world.desired(), others=others)  # a first install lets nothing go
    world.converge(world.desired(extra=(HostFile(path="/etc/slipway/note", content="new"),)), others=others)
    world.session.path(f"{UNITS}/slipway-proxy.service").write_text("[Service]\n")
    before = world.drains()
    with pytest.raises(VerifyError, match="the fleet cannot spare it: of 1 other hosts 1 are out of service"):
        world.converge(world.desired("m2"), others=others)
    assert world.drains() == before
    assert world.session.path(CONFIG).read_text() == "m"
    # One that does not serve lets go of nothing.
    world.ready = 503
    assert "unit engine.service" in world.converge(world.desired("m2"), others=others).changed


MODEL = ModelFile(source="https://models.invalid/m", sha256="0" * 64, size=1, path="/var/lib/slipway/models/m")


@pytest.mark.parametrize(
    ("change", "waits"),
    [
        ({"images": ("sha256:def",)}, "another image is to serve, and no window; the next opens on Monday"),
        ({"model": MODEL}, "another model is to serve, and no window; the next opens on Monday"),
        ({"config": "m2"}, None),
        # Of another release the host itself has waited.
        ({"images": ("sha256:def",), "release": "2026.11"}, None),
    ],
)
def test_another_model_or_image_waits_for_a_window(world: World, change: dict[str, Any], waits: str | None) -> None:
    closed = "no window; the next opens on Monday"
    world.converge(world.desired(), closed=closed)  # a first install does not wait
    world.session.forget()
    if waits is None:
        world.converge(world.desired(**change), closed=closed)
        return
    with pytest.raises(VerifyError, match=waits):
        world.converge(world.desired(**change), closed=closed)
    assert len(world.session.commands) == 1, "nothing was touched, only read"


def test_what_has_begun_and_the_way_back_do_not_wait(world: World) -> None:
    old, new, closed = world.desired(), world.desired("m2", images=("sha256:def",)), "no window"
    world.converge(old)

    def stop(command: Command) -> None:
        if command.why.startswith("start "):
            raise UnreachableError("gone", where="h1", fix="")

    world.session.before = stop
    with pytest.raises(UnreachableError):
        world.converge(new)
    world.session.before = None
    world.converge(new, closed=closed)
    world.converge(old, closed=closed)
    with pytest.raises(VerifyError, match="another image"):
        world.converge(world.desired(images=("sha256:third",)), closed=closed)
