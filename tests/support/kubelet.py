"""A real node of a test's control plane: containerd and a kubelet, on this machine, in namespaces of their own.

Mounts, cgroups and processes are theirs alone: when their first process ends, so does all that they started. Pods have
addresses on a bridge that this machine is on as well; Service addresses lead nowhere, as there is no kube-proxy.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.support.control_plane import END, ControlPlane
from tools import kubernetes, oci

NAME = "real-0"
BRIDGE, GATEWAY, SUBNET = "swk8s0", "10.231.77.1", "10.231.77.0/24"
CGROUPS = Path("/sys/fs/cgroup")
PLUGINS = "/usr/lib/cni"
"""where Debian has the plugins of containernetworking-plugins"""

# The hierarchies as the machine has them, with the cgroup of the tests as their root.
SETUP = """
set -e
mount --make-rprivate /
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
else
  kinds=$(awk '$3 == "cgroup" { print $2 }' /proc/mounts)
  mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
  for path in $kinds; do
    kind=${path##*/} options=${path##*/}
    [ "$kind" = systemd ] && options=none,name=systemd
    mkdir -p "/sys/fs/cgroup/$kind"
    mount -t cgroup -o "$options" cgroup "/sys/fs/cgroup/$kind"
  done
fi
mount --make-rshared /
echo ready
exec "$1"
"""


@dataclass
class RealNode:
    """The node, and the namespaces that everything of it runs in."""

    plane: ControlPlane
    folder: Path
    first: int
    """its first process"""

    def inside(self, *argv: str | Path) -> list[str | Path]:
        return ["nsenter", f"--target={self.first}", "--mount", "--cgroup", "--pid", "--", *argv]

    def ctr(self, *arguments: str | Path) -> str:
        command = self.inside("ctr", f"--address={self.folder}/containerd.sock", "--namespace=k8s.io", *arguments)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"ctr {arguments}: {done.stderr}"
        return done.stdout

    def load(self, archive: Path, reference: str) -> None:
        """Have an image by the reference that pods ask for, as if it had been pulled."""
        name = self.ctr("images", "import", archive).split()[1]
        # An image is looked for by its full name, whichever way it was asked for.
        for other in (f"docker.io/{name}", reference):
            self.ctr("images", "tag", name, other)

    def dump(self) -> str:
        """What there is to see when pods do not do as they should."""
        shown = [self.plane.kubectl("get", "pods,events", "-A", "-o", "wide", check=False), self.plane.tail("kubelet")]
        return "\n".join(shown)


@contextmanager
def real_node(
    plane: ControlPlane, folder: Path, images: Mapping[str, Path], labels: Mapping[str, str]
) -> Iterator[RealNode]:
    """A node that is Ready and has the images: reference → archive. Needs root."""
    assert os.geteuid() == 0, "a kubelet needs root"
    folder.mkdir(parents=True)
    before, node = _groups(), None
    subprocess.run(["ip", "link", "add", BRIDGE, "type", "bridge"], check=True)
    try:
        subprocess.run(["ip", "address", "add", f"{GATEWAY}/24", "dev", BRIDGE], check=True)
        subprocess.run(["ip", "link", "set", BRIDGE, "up"], check=True)
        node = _first(plane, folder)
        _start_containerd(node)
        for reference, archive in images.items():
            node.load(archive, reference)
        _start_kubelet(node, labels)
        plane.wait("the node is there", lambda: plane.kubectl_run("get", "node", NAME).returncode == 0)
        plane.kubectl("wait", "--for=condition=Ready", "--timeout=60s", f"node/{NAME}")
        yield node
    finally:
        plane.kubectl("delete", "node", NAME, "--wait=false", check=False)
        _end(plane, node)
        for group in _groups() - before:
            _remove_group(group)
        subprocess.run(["ip", "link", "delete", BRIDGE], check=True)
        shutil.rmtree(folder)


def _first(plane: ControlPlane, folder: Path) -> RealNode:
    """The namespaces, held by a first process that also collects those which nobody waits for."""
    apart = ("--mount", "--cgroup", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation=private")
    plane.start("first", "unshare", *apart, "sh", "-c", SETUP, "sh", kubernetes.ensure("pause"))
    log = plane.folder / "first.log"
    plane.wait("the namespaces are made", lambda: "ready" in log.read_text())
    outer = plane.parts["first"].pid
    (inner,) = Path(f"/proc/{outer}/task/{outer}/children").read_text().split()
    return RealNode(plane, folder, int(inner))


def _start_containerd(node: RealNode) -> None:
    folder, socket = node.folder, node.folder / "containerd.sock"
    pause = _pause_image(folder)
    network = {
        "cniVersion": "1.0.0",
        "name": "tests",
        "plugins": [
            {
                "type": "bridge", "bridge": BRIDGE, "isGateway": True, "ipMasq": False,
                "ipam": {
                    "type": "host-local", "dataDir": f"{folder}/addresses", "routes": [{"dst": "0.0.0.0/0"}],
                    "ranges": [[{"subnet": SUBNET, "gateway": GATEWAY}]],
                },
            }
        ],
    }  # fmt: skip
    (folder / "cni").mkdir()
    (folder / "cni/10-tests.conflist").write_text(json.dumps(network))
    (folder / "containerd.toml").write_text(
        f"""\
version = 2
root = "{folder}/containerd"
state = "{folder}/containerd-state"
[grpc]
  address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause.reference}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{PLUGINS}"
    conf_dir = "{folder}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
"""
    )
    node.plane.start("containerd", *node.inside("containerd", f"--config={folder}/containerd.toml"))
    node.plane.wait("containerd listens", socket.exists)
    node.load(pause.archive, pause.reference)


@dataclass(frozen=True)
class _Built:
    archive: Path
    reference: str


def _pause_image(folder: Path) -> _Built:
    tree = folder / "pause"
    tree.mkdir()
    shutil.copy(kubernetes.path("pause"), tree / "pause")
    archive = folder / "pause.tar"
    oci.write_image(tree, archive, "tests/pause:1", oci.Config(entrypoint=("/pause",)))
    return _Built(archive, "localhost/pause:1")


def _start_kubelet(node: RealNode, labels: Mapping[str, str]) -> None:
    plane, folder = node.plane, node.folder
    plane.authority.issue("node", f"system:node:{NAME}", ("system:nodes",), (GATEWAY, NAME))
    kubeconfig = plane.authority.kubeconfig(folder / "kubeconfig", plane.server, "node")
    settings = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "containerRuntimeEndpoint": f"unix://{folder}/containerd.sock",
        "address": GATEWAY,
        "healthzPort": 0,
        "authentication": {
            "x509": {"clientCAFile": str(plane.authority.certificate)},
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{plane.folder}/node.crt",
        "tlsPrivateKeyFile": f"{plane.folder}/node.key",
        "resolvConf": "",
        "failSwapOn": False,
        "evictionHard": {"nodefs.available": "1%", "imagefs.available": "1%", "memory.available": "100Mi"},
        "imageGCHighThresholdPercent": 100,
    }
    (folder / "kubelet.yaml").write_text(yaml.safe_dump(settings))
    plane.start(
        "kubelet",
        *node.inside(
            kubernetes.path("kubebox"), "kubelet", f"--config={folder}/kubelet.yaml", f"--kubeconfig={kubeconfig}",
            f"--hostname-override={NAME}", f"--node-ip={GATEWAY}", f"--root-dir={folder}/kubelet",
            "--node-labels=" + ",".join(f"{key}={value}" for key, value in labels.items()),
        ),
    )  # fmt: skip


def _end(plane: ControlPlane, node: RealNode | None) -> None:
    """The namespace's first process takes all others along, and ends when the last one has."""
    if node is not None:
        os.kill(node.first, signal.SIGKILL)
    for name in ("kubelet", "containerd", "first"):
        process = plane.parts.pop(name, None)
        if process is not None:
            process.wait(END)


def _groups() -> set[Path]:
    """What kubelets made for their pods: the same in each hierarchy."""
    return set(CGROUPS.rglob("kubepods"))


def _remove_group(group: Path) -> None:
    for folder, _, _ in os.walk(group, topdown=False):
        Path(folder).rmdir()
