"""The rendered proxy configuration, run by a real HAProxy on loopback in front of stub engines."""

from __future__ import annotations

import datetime
import ipaddress
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from slipway.plan_types import Plan, ReplicaPlan
from tests.templates.plans import API_KEY, API_KEY_SHA256, SECOND_KEY_SHA256, cpu_plan
from tests.templates.rendering import render_host
from tests.templates.stub_engine import StubEngine

SOCAT = """#!{python}
# What the drain and streams scripts need of socat: stdin to a Unix socket, the answer to stdout.
import socket, sys
with socket.socket(socket.AF_UNIX) as peer:
    try:
        peer.connect(sys.argv[-1].partition(":")[2])
    except OSError as error:
        sys.exit(str(error))
    peer.sendall(sys.stdin.buffer.read())
    peer.shutdown(socket.SHUT_WR)
    while data := peer.recv(65536):
        sys.stdout.buffer.write(data)
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition did not come true in time"
        time.sleep(0.02)


def write_certificate(path: Path) -> None:
    """A self-signed certificate for 127.0.0.1 with its key, as HAProxy reads it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "slipway test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


class ProxyBench:
    """A host's /etc/slipway, /run/slipway and /usr/local/lib/slipway under one folder, and HAProxy running on them."""

    def __init__(self, folder: Path, haproxy: Path, plan: Plan) -> None:
        self.folder = folder
        self.haproxy = haproxy
        self.plan = plan
        self.log = folder / "proxy.log"
        self.process: subprocess.Popen[bytes] | None = None
        for file in render_host(plan, [API_KEY_SHA256, SECOND_KEY_SHA256]):
            path = folder / file.path.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.moved(file.content), encoding="utf-8")
            path.chmod(file.mode)
        self.certificate = folder / "etc/slipway/tls/server.pem"
        write_certificate(self.certificate)
        (folder / "run/slipway").mkdir(parents=True)
        (folder / "run/slipway/drain").touch()
        self.path = os.environ["PATH"]
        if not shutil.which("socat"):
            (folder / "bin").mkdir()
            (folder / "bin/socat").write_text(SOCAT.format(python=sys.executable), encoding="utf-8")
            (folder / "bin/socat").chmod(0o755)
            self.path = f"{folder / 'bin'}:{self.path}"

    def moved(self, text: str) -> str:
        return text.replace("/etc/slipway", f"{self.folder}/etc/slipway").replace(
            "/run/slipway", f"{self.folder}/run/slipway"
        )

    @property
    def configuration(self) -> Path:
        return self.folder / "etc/slipway/haproxy.cfg"

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.plan.proxy.port}"

    @property
    def operations(self) -> str:
        return f"http://127.0.0.1:{self.plan.proxy.metrics_port}"

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [self.haproxy, "-W", "-db", "-f", str(self.configuration)], stdout=log, stderr=subprocess.STDOUT
            )
        wait_for(self.is_listening, 10)

    def is_listening(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        try:
            return httpx.get(f"{self.operations}/health").status_code == 200
        except httpx.TransportError:
            return False

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)
            self.process = None

    def script(self, name: str, *arguments: str) -> str:
        result = subprocess.run(
            ["sh", str(self.folder / "usr/local/lib/slipway" / name), *arguments],
            env={"PATH": self.path},
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        return result.stdout.strip()

    def client(self, key: str | None = API_KEY) -> httpx.Client:
        context = ssl.create_default_context(cafile=str(self.certificate))
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        return httpx.Client(base_url=self.url, verify=context, headers=headers, timeout=30)

    def ready(self) -> int:
        return httpx.get(f"{self.operations}/ready").status_code


@contextmanager
def running_proxy(folder: Path, haproxy: Path, engines: list[StubEngine], **settings: Any) -> Iterator[ProxyBench]:
    """HAProxy before `engines`; `settings` replace fields of the plan's ProxyPlan."""
    base = cpu_plan(replicas=len(engines))
    ports = {"port": free_port(), "metrics_port": free_port()}
    plan = replace(
        base,
        replicas=tuple(ReplicaPlan(index=index, port=engine.port) for index, engine in enumerate(engines)),
        proxy=replace(base.proxy, **(ports | settings)),
    )
    bench = ProxyBench(folder, haproxy, plan)
    try:
        bench.start()
        yield bench
    finally:
        bench.stop()
