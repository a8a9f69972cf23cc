"""A real Kubernetes control plane on loopback: etcd, API server, controller manager, scheduler, and KWOK's nodes.

There is no kube-proxy and no DNS: Service addresses lead nowhere, and a NetworkPolicy is taken and not enforced. Nodes
and their pods are KWOK's: they exist in the API only, and a pod is Ready as soon as it has a node.
"""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.support.cluster_pki import Authority
from tests.templates.proxy_bench import free_port
from tools import kubernetes

PATIENCE = 90.0
"""seconds for a part to be ready; it takes two to eight on a quiet machine"""
END = 10.0
"""seconds for a part to end"""
SERVICES = "10.96.0.0/16"
FAKE = "kwok.x-k8s.io/node"
"""annotation of the nodes that KWOK keeps"""


class DiedError(AssertionError):
    """A part of the control plane ended; the end of its log is in the message."""


@dataclass
class ControlPlane:
    """The parts that run. `kubectl` and `kubeconfig` are those of its administrator."""

    folder: Path
    server: str
    authority: Authority
    kubeconfig: Path
    parts: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, *argv: str | Path) -> None:
        """Start a part, which ends when this process does, however that ends."""
        with (self.folder / f"{name}.log").open("wb") as log:
            self.parts[name] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *map(str, argv)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    def stop(self) -> None:
        """The newest part first, so that none meets a server that is gone."""
        for process in reversed(self.parts.values()):
            process.terminate()
            try:
                process.wait(END)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.parts.clear()

    def wait(self, what: str, condition: Callable[[], object], seconds: float = PATIENCE) -> None:
        """Wait until the condition holds. Raises DiedError as soon as a part is gone, AssertionError when time is."""
        end = time.monotonic() + seconds
        while not condition():
            for name, process in self.parts.items():
                if process.poll() is not None:
                    raise DiedError(f"{name} ended with {process.returncode}:\n{self.tail(name)}")
            assert time.monotonic() < end, f"not within {seconds:.0f} s: {what}\n{self.tail('kube-apiserver')}"
            time.sleep(0.05)

    def tail(self, name: str, lines: int = 15) -> str:
        return "\n".join((self.folder / f"{name}.log").read_text(errors="replace").splitlines()[-lines:])

    def kubectl(self, *arguments: str | Path, given: str | None = None, check: bool = True) -> str:
        """kubectl's standard output; fails with what it said, where `check` is set. `given` is its standard input."""
        done = self.kubectl_run(*arguments, given=given)
        assert not check or done.returncode == 0, f"kubectl {arguments}: {done.stderr}"
        return done.stdout

    @property
    def kubectl_command(self) -> list[str | Path]:
        return [kubernetes.path("kubebox"), "kubectl", "--kubeconfig", self.kubeconfig]

    def kubectl_run(self, *arguments: str | Path, given: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.kubectl_command, *arguments],
            input=given, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip

    def get(self, *arguments: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.kubectl("get", *arguments, "-o", "json"))
        return found

    def apply(self, objects: Sequence[Mapping[str, Any]], manager: str = "tests") -> None:
        text = yaml.safe_dump_all(objects)
        self.kubectl("apply", "--server-side", "--field-manager", manager, "-f", "-", given=text)

    def user(self, name: str, *groups: str) -> Path:
        """The kubeconfig of somebody else, who may do what roles say."""
        self.authority.issue(name, name, groups)
        return self.authority.kubeconfig(self.folder / f"{name}.kubeconfig", self.server, name)

    @contextmanager
    def client(self) -> Iterator[httpx.Client]:
        """The API server over HTTP, as its administrator."""
        context = ssl.create_default_context(cafile=str(self.authority.certificate))
        folder = self.authority.folder
        context.load_cert_chain(folder / "admin.crt", folder / "admin.key")
        with httpx.Client(base_url=self.server, verify=context, timeout=10, trust_env=False) as client:
            yield client

    def make_nodes(self, count: int, gpus: int, labels: Mapping[str, str], prefix: str = "gpu") -> None:
        """Nodes of KWOK with GPUs and the taint that managed clusters give those, and wait until they are Ready."""
        self.apply([_node(f"{prefix}-{number}", number, gpus, labels) for number in range(count)])
        selector = ",".join(f"{key}={value}" for key, value in labels.items())
        wanted = ("wait", "--for=condition=Ready", "--timeout=90s", "nodes", "-l", selector)
        self.kubectl(*wanted)

    def define(self, *names: str) -> None:
        """Install definitions of custom resources, by name: `httproutes.gateway.networking.k8s.io`."""
        parted = [name.partition(".") for name in names]
        files = [kubernetes.path("crds") / f"{group}_{plural}.yaml" for plural, _, group in parted]
        self.kubectl("apply", "--server-side", *(f"--filename={file}" for file in files))
        self.kubectl("wait", "--for=condition=Established", "--timeout=60s", *(f"crd/{name}" for name in names))


@contextmanager
def control_plane(folder: Path) -> Iterator[ControlPlane]:
    """Start all of it, and stop it and remove its folder. Fails with the log of a part that does not come up."""
    for part in ("kubebox", "kwok", "stages", "crds"):
        kubernetes.ensure(part)
    folder.mkdir(parents=True)
    plane = _prepared(folder)
    try:
        _start(plane)
        yield plane
    finally:
        plane.stop()
        shutil.rmtree(folder)


def _prepared(folder: Path) -> ControlPlane:
    """Certificates and kubeconfigs of everybody."""
    authority = Authority(folder)
    server = f"https://127.0.0.1:{free_port()}"
    names = ("127.0.0.1", "localhost", "kubernetes.default.svc", "10.96.0.1")
    authority.issue("server", "kube-apiserver", addresses=names)
    authority.issue("front-proxy", "front-proxy")
    authority.issue("kubelet-client", "kube-apiserver-kubelet-client", ("system:masters",))
    for name, user, groups in (
        ("admin", "admin", ("system:masters",)),
        ("controllers", "system:kube-controller-manager", ()),
        ("scheduler", "system:kube-scheduler", ()),
    ):
        authority.issue(name, user, groups)
        authority.kubeconfig(folder / f"{name}.kubeconfig", server, name)
    return ControlPlane(folder, server, authority, folder / "admin.kubeconfig")


def _start(plane: ControlPlane) -> None:
    folder, box = plane.folder, kubernetes.path("kubebox")
    store = _start_etcd(plane, box)
    private, public = plane.authority.signing_key("accounts")
    plane.start(
        "kube-apiserver", box, "kube-apiserver",
        f"--etcd-servers={store}", "--bind-address=127.0.0.1", f"--secure-port={plane.server.rpartition(':')[2]}",
        "--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none", f"--service-cluster-ip-range={SERVICES}",
        f"--tls-cert-file={folder}/server.crt", f"--tls-private-key-file={folder}/server.key",
        f"--client-ca-file={folder}/ca.crt", "--authorization-mode=Node,RBAC",
        f"--kubelet-client-certificate={folder}/kubelet-client.crt",
        f"--kubelet-client-key={folder}/kubelet-client.key", f"--kubelet-certificate-authority={folder}/ca.crt",
        "--kubelet-preferred-address-types=InternalIP", "--enable-admission-plugins=NodeRestriction",
        "--service-account-issuer=https://kubernetes.default.svc", f"--service-account-key-file={public}",
        f"--service-account-signing-key-file={private}",
        # The aggregation layer, for a metrics API.
        f"--requestheader-client-ca-file={folder}/ca.crt", "--requestheader-allowed-names=front-proxy",
        "--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={folder}/front-proxy.crt", f"--proxy-client-key-file={folder}/front-proxy.key",
        "--max-requests-inflight=1000", "--max-mutating-requests-inflight=500",
    )  # fmt: skip
    with plane.client() as client:
        plane.wait("the API server is ready", lambda: _answers(client, "/readyz"))
        _start_controllers(plane, box, private)
        accounts = "/api/v1/namespaces/default/serviceaccounts/default"
        plane.wait("the controller manager works", lambda: _answers(client, accounts))


def _start_etcd(plane: ControlPlane, box: Path) -> str:
    client, peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    plane.start(
        "etcd", box, "etcd", "--name=tests", f"--data-dir={plane.folder}/etcd", "--unsafe-no-fsync",
        f"--listen-client-urls={client}", f"--advertise-client-urls={client}", f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=tests={peer}", "--log-level=warn",
    )  # fmt: skip
    return client


def _start_controllers(plane: ControlPlane, box: Path, account_key: Path) -> None:
    folder, scheduler_port = plane.folder, free_port()
    plane.start(
        "kube-controller-manager", box, "kube-controller-manager", *_own_kubeconfig(folder, "controllers"),
        "--secure-port=0", "--use-service-account-credentials", f"--service-account-private-key-file={account_key}",
        f"--root-ca-file={folder}/ca.crt", "--leader-elect=false", "--kube-api-qps=300", "--kube-api-burst=600",
        "--horizontal-pod-autoscaler-sync-period=2s", "--concurrent-deployment-syncs=10",
    )  # fmt: skip
    settings = folder / "scheduler.yaml"
    connection = {"kubeconfig": f"{folder}/scheduler.kubeconfig", "qps": 300, "burst": 600}
    wanted = {"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration"}
    settings.write_text(
        yaml.safe_dump({**wanted, "clientConnection": connection, "leaderElection": {"leaderElect": False}})
    )
    plane.start(
        "kube-scheduler", box, "kube-scheduler", f"--config={settings}",
        *_own_kubeconfig(folder, "scheduler")[1:], "--bind-address=127.0.0.1", f"--secure-port={scheduler_port}",
        f"--tls-cert-file={folder}/server.crt", f"--tls-private-key-file={folder}/server.key",
    )  # fmt: skip
    stages = folder / "stages.yaml"
    stages.write_text("\n---\n".join(path.read_text() for path in sorted(kubernetes.path("stages").iterdir())))
    plane.start(
        "kwok", kubernetes.path("kwok"), f"--kubeconfig={plane.kubeconfig}", f"--config={stages}",
        f"--manage-nodes-with-annotation-selector={FAKE}=fake", "--node-lease-duration-seconds=40",
        "--node-ip=127.0.0.1", "--cidr=10.200.0.0/16", f"--server-address=127.0.0.1:{free_port()}",
    )  # fmt: skip
    context = ssl.create_default_context(cafile=str(plane.authority.certificate))
    with httpx.Client(base_url=f"https://127.0.0.1:{scheduler_port}", verify=context, trust_env=False) as client:
        plane.wait("the scheduler is ready", lambda: _answers(client, "/readyz"))


def _own_kubeconfig(folder: Path, name: str) -> tuple[str, ...]:
    path = f"{folder}/{name}.kubeconfig"
    return f"--kubeconfig={path}", f"--authentication-kubeconfig={path}", f"--authorization-kubeconfig={path}"


def _answers(client: httpx.Client, path: str) -> bool:
    try:
        return client.get(path).status_code == 200
    except httpx.TransportError:
        return False


def _node(name: str, number: int, gpus: int, labels: Mapping[str, str]) -> dict[str, Any]:
    room = {"cpu": "128", "memory": "1024Gi", "ephemeral-storage": "2Ti", "pods": "110", "nvidia.com/gpu": str(gpus)}
    own = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
    zone = {"topology.kubernetes.io/zone": f"z{number % 3}"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "annotations": {FAKE: "fake"}, "labels": {**own, **zone, **labels}},
        "spec": {"taints": [{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}]},
        "status": {"capacity": room, "allocatable": room},
    }
