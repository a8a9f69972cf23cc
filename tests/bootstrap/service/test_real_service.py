"""A service on a real host: systemd, ss, curl and SSH are real. Engine and proxy are STUBS in Perl without containers.

The stub computes nothing: it answers as its configuration file says, so that a test can make it answer wrongly.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bootstrap.log import NullLog
from bootstrap.machines import MachineSpec, create, remove
from bootstrap.machines.fleet import new_key, way_in
from bootstrap.service import converge_service, read_service, remove_service
from bootstrap.session import Command
from bootstrap.ssh import SshSession, connect
from bootstrap.testing import RecordingLog
from slipway.desired import Connection, Drain, HealthGate, HostFile, ModelFile, ServiceDesired, Unit
from slipway.errors import CancelledError, PortInUseError, ServiceError
from tests.bootstrap.service.stub_store import serve_store
from tools import bases

pytestmark = [pytest.mark.hosts, pytest.mark.slow, pytest.mark.timeout(300)]

KEY = "sk-very-secret-key"
CONFIG = "/etc/slipway/stub.conf"
PROXY_CONFIG = "/etc/slipway/proxy.conf"
STUB = "/usr/local/lib/slipway/stub"
LIB = "/usr/local/lib/slipway"

STUB_SOURCE = r"""#!/usr/bin/perl
# STUB of an inference server: stub PORT CONFIG. The first line of CONFIG is the model's name, or: exit, sick.
use strict; use IO::Socket::INET;
my ($port, $config) = @ARGV;
open(my $file, '<', $config) or die; chomp(my $model = <$file>); close $file;
if ($model eq 'exit') { print STDERR "stub: cannot load the weights\n"; exit 3; }
my $server = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port, Listen => 16, ReuseAddr => 1) or die;
while (my $client = $server->accept) {
  my $first = <$client>; my $length = 0;
  while (my $line = <$client>) { $length = $1 if $line =~ /^content-length: (\d+)/i; last if $line =~ /^\r?\n$/; }
  read($client, my $body, $length) if $length;
  my ($status, $text) = (200, '{"status":"ok"}');
  if ($first =~ m{/health}) { ($status, $text) = (503, '{"error":{"message":"Loading model"}}') if $model eq 'sick'; }
  elsif ($first =~ m{/v1/models}) { $text = qq({"data":[{"id":"$model"}]}); }
  else { $text = '{"choices":[{"message":{"content":"Hello from the stub."}}]}'; }
  printf $client "HTTP/1.0 %d x\r\nContent-Length: %d\r\n\r\n%s", $status, length($text), $text;
  close $client;
}
"""
DRAIN = """#!/bin/sh
mkdir -p /run/slipway; echo "$1" > /run/slipway/drain; echo "$1" >> /run/slipway/drain-calls
"""
STREAMS = "#!/bin/sh\ncat /run/slipway/open 2>/dev/null || echo 0\n"


def unit_file(port: int, config: str) -> str:
    return (
        f"[Unit]\nDescription=stub on {port}\n\n[Service]\nType=exec\nExecStart={STUB} {port} {config}\n"
        "Restart=always\nRestartSec=1\n\n[Install]\nWantedBy=multi-user.target\n"
    )


def desired(model: str = "tiny", port: int = 9000, **gate: Any) -> ServiceDesired:
    settings = {"start_deadline": 5, "health_deadline": 20, "models_deadline": 5, "completion_deadline": 10, **gate}
    return ServiceDesired(
        name="chat",
        release="2026.10",
        files=(
            HostFile(path="/etc/systemd/system/stub-engine.service", content=unit_file(port, CONFIG)),
            HostFile(path="/etc/systemd/system/stub-proxy.service", content=unit_file(8443, PROXY_CONFIG)),
            HostFile(path=CONFIG, content=f"{model}\n"),
            HostFile(path=PROXY_CONFIG, content="tiny\n"),
            HostFile(path="/etc/slipway/keys", content=KEY, mode=0o640, owner="root:65532", secret=True),
            HostFile(path=STUB, content=STUB_SOURCE, mode=0o755),
            HostFile(path=f"{LIB}/drain", content=DRAIN, mode=0o755),
            HostFile(path=f"{LIB}/streams", content=STREAMS, mode=0o755),
        ),
        units=(
            Unit(name="stub-engine.service", restart_on=(CONFIG,), ports=(port,)),
            Unit(name="stub-proxy.service", restart_on=("/etc/slipway/keys",), ports=(8443,)),
        ),
        gate=HealthGate(engines=(f"http://127.0.0.1:{port}",), proxy="http://127.0.0.1:8443", model="tiny", **settings),
        drain=Drain(deadline=20),
    )


class Host:
    """The booted machine and a connection to it."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.cancel = threading.Event()
        self.log = RecordingLog()
        self.session = self.connect()

    def connect(self) -> SshSession:
        return connect(self.connection, NullLog(), self.cancel, deadline=30)

    def shell(self, script: str, deadline: float = 60) -> str:
        return self.session.run(Command(script, "test", deadline=deadline)).stdout.strip()

    @contextlib.contextmanager
    def cancelled_once_draining(self) -> Iterator[None]:
        """Cancels the run inside as soon as the host takes no new requests."""
        self.shell("rm -f /run/slipway/drain-calls")

        def watch() -> None:
            with connect(self.connection, NullLog(), threading.Event(), deadline=30) as session:
                wait = Command("until grep -qx on /run/slipway/drain-calls; do sleep 0.1; done", "wait", deadline=120)
                session.run(wait)
            self.cancel.set()

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield
        finally:
            watcher.join()
            self.cancel.clear()

    def started(self) -> list[str]:
        """The main process of each unit: another number is another start."""
        return self.shell("systemctl show -p MainPID --value stub-engine stub-proxy").split()

    def converge(self, service: ServiceDesired) -> Any:
        return converge_service(self.session, service, KEY, self.log, self.cancel)


@pytest.fixture(scope="module")
def booted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    user, host = new_key(), new_key()
    folder = tmp_path_factory.mktemp("machines") / "test" / "web"
    spec = MachineSpec(
        name="web",
        stack="test",
        kind="nspawn",
        authorized_key=user.public,
        host_key_public=host.public,
        host_key_private=host.private,
        base=Path(bases.ensure("bookworm")["tree"]),
        state=folder,
    )
    state = create(spec, NullLog(), threading.Event())
    try:
        connection = way_in(state, user.private, host.public)
        with connect(connection, NullLog(), threading.Event(), deadline=30) as session:
            install = "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qqy curl"
            session.run(Command(install, "install what the gate asks with", deadline=240))
        yield connection
    finally:
        remove(state, NullLog())


@pytest.fixture
def host(booted: Connection) -> Iterator[Host]:
    made = Host(booted)
    yield made
    made.cancel.clear()
    with made.connect() as session:
        remove_service(session, desired(), NullLog(), made.cancel)
    made.session.close()


def test_start_no_op_swap_and_removal(host: Host) -> None:
    report = host.converge(desired())
    assert report.completion == "Hello from the stub."
    assert host.shell("stat -c '%a %U:%g' /etc/slipway/keys") == "640 root:65532"
    assert host.shell("systemctl is-enabled stub-engine stub-proxy").split() == ["enabled", "enabled"]
    assert read_service(host.session, desired()) == ()
    first = host.started()

    began = time.monotonic()
    assert host.converge(desired()).changed == ()
    assert time.monotonic() - began < 30
    assert host.started() == first

    host.shell("echo 2 > /run/slipway/open; (sleep 2; echo 0 > /run/slipway/open) > /dev/null 2>&1 &")
    changed = host.converge(desired("tiny\n# another line")).changed
    assert changed == (f"file {CONFIG}", "unit stub-engine.service")
    now = host.started()
    assert (now[0] != first[0], now[1] == first[1]) == (True, True)
    assert host.shell("cat /run/slipway/drain-calls").split()[-2:] == ["on", "off"]

    remove_service(host.session, desired(), host.log, host.cancel)
    left = "ls -d /etc/systemd/system/stub-* /etc/slipway/keys /var/lib/slipway/bundles/chat 2>/dev/null || :"
    assert host.shell(left) == ""
    assert host.shell("systemctl is-active stub-engine || :") == "inactive"
    assert host.shell("ss -Hltn 'sport = :9000'") == ""


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("exit", "engine 0 (stub-engine.service) exited with status 3"),
        ("other", "engine 0 serves the model other, wanted tiny"),
        ("sick", "engine 0 does not pass /health within 2 s (HTTP 503, Loading model)"),
    ],
)
def test_a_failed_update_puts_the_old_bundle_back(host: Host, model: str, said: str) -> None:
    host.converge(desired())
    began = time.monotonic()
    with pytest.raises(ServiceError) as caught:
        host.converge(desired(model, health_deadline=2 if model == "sick" else 20))
    assert said in str(caught.value)
    assert "was put back and serves again" in str(caught.value)
    if model == "exit":
        assert "stub: cannot load the weights" in str(caught.value)
        assert time.monotonic() - began < 60
    assert host.shell(f"cat {CONFIG}") == "tiny"
    assert host.shell("cat /run/slipway/drain") == "off"
    assert read_service(host.session, desired()) == ()


def test_a_first_install_that_fails_is_taken_up(host: Host) -> None:
    with pytest.raises(ServiceError, match="exited with status 3"):
        host.converge(desired("exit"))
    assert host.converge(desired()).changed == (f"file {CONFIG}", "unit stub-engine.service")
    assert read_service(host.session, desired()) == ()


def test_a_port_in_use_names_its_process(host: Host) -> None:
    host.session.put("/root/squatter", STUB_SOURCE.encode(), 0o755)
    host.shell("echo x > /root/squatter.conf; systemd-run -q --unit=squatter /root/squatter 9000 /root/squatter.conf")
    host.shell("until ss -Hltn | grep -q :9000; do sleep 0.1; done", deadline=10)
    try:
        with pytest.raises(
            PortInUseError, match=r"port 9000, which stub-engine.service needs, is held by squatter \(pid \d+\)"
        ):
            host.converge(desired())
    finally:
        host.shell("systemctl stop squatter")
    assert host.converge(desired()).completion == "Hello from the stub."


def test_a_moved_port_frees_the_old_one(host: Host) -> None:
    host.converge(desired())
    host.converge(desired(port=9001))
    assert host.shell("ss -Hltn 'sport = :9000'") == ""
    assert read_service(host.session, desired(port=9001)) == ()


def test_a_cancelled_drain_takes_the_flag_back_and_changes_nothing(host: Host) -> None:
    host.converge(desired())
    first = host.started()
    host.shell("echo 5 > /run/slipway/open")
    with host.cancelled_once_draining(), pytest.raises(CancelledError):
        host.converge(desired("tiny\n# another line"))
    first_call, *later = host.shell("cat /run/slipway/drain-calls").split()
    assert (first_call, set(later)) == ("on", {"off"})
    assert host.started() == first
    assert host.shell(f"cat {CONFIG}") == "tiny"
    host.shell("echo 0 > /run/slipway/open")
    assert host.converge(desired("tiny\n# another line")).changed


def test_streams_past_the_deadline_are_cut_off_and_said(host: Host) -> None:
    host.converge(desired())
    host.shell("echo 3 > /run/slipway/open")
    hurried = desired("tiny\n# another line").model_copy(update={"drain": Drain(deadline=1)})
    host.converge(hurried)
    assert "web: 3 requests were cut off after 1 s" in host.log.text
    host.shell("rm /run/slipway/open")


def test_drift_on_a_real_host(host: Host) -> None:
    host.converge(desired())
    host.shell(f"echo edited > {CONFIG}; systemctl stop stub-proxy; systemctl disable -q stub-engine")
    pins = {drift.pin for drift in read_service(host.session, desired())}
    assert pins == {f"file {CONFIG}", "unit stub-engine.service", "unit stub-proxy.service"}
    host.converge(desired())
    assert read_service(host.session, desired()) == ()


def test_a_host_fetches_its_model_and_resumes_after_a_cancel(host: Host) -> None:
    content = bytes(range(256)) * 65536  # 16 MiB, 256 slow pieces
    path = "/var/lib/slipway/models/m.gguf"
    gateway = host.shell("ip -4 route show default").split()[2]
    with serve_store(content, gateway) as store:
        model = ModelFile(
            source="hf://acme/tiny@v1/m.gguf",
            sha256=hashlib.sha256(content).hexdigest(),
            size=len(content),
            path=path,
            endpoint=store.url,
        )
        service = desired().model_copy(update={"model": model})
        store.slow = True

        def cancel_soon() -> None:
            while not store.asked:
                time.sleep(0.1)
            time.sleep(1)
            host.cancel.set()

        threading.Thread(target=cancel_soon, daemon=True).start()
        with pytest.raises(CancelledError):
            host.converge(service)
        host.cancel.clear()
        assert 0 < int(host.shell(f"stat -c %s {path}.partial")) < len(content)
        store.slow = False
        store.cuts = [100_000]
        assert f"model {path}" in host.converge(service).changed
        assert store.asked[-1][1] not in (None, "bytes=0-")
        assert host.shell(f"sha256sum < {path}").split()[0] == model.sha256
        assert host.converge(service).changed == ()
        assert host.shell(f"ls -A {path.rsplit('/', 1)[0]}").split() == ["m.gguf", "m.gguf.sha256"]
        host.shell(f"rm -f {path} {path}.sha256")
