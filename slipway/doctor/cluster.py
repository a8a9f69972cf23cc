"""What a Kubernetes cluster says of itself, held against what a plan's pods need of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from slipway.doctor.types import Check, NoAnswer, judged
from slipway.plan_types import ClusterPlan, Plan
from slipway.units import about_bytes

OLDEST = (1, 29)
"""pods have sidecars that start first and end last, which clusters have since then without being told to:
https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/"""

GPU = "nvidia.com/gpu"
"""resource of NVIDIA's device plugin: https://github.com/NVIDIA/k8s-device-plugin"""

MADE = (
    ("", "namespaces"), ("", "serviceaccounts"), ("", "configmaps"), ("", "secrets"), ("", "services"),
    ("scheduling.k8s.io", "priorityclasses"),
    ("apps", "deployments"), ("networking.k8s.io", "networkpolicies"), ("policy", "poddisruptionbudgets"),
)  # fmt: skip
"""(API group, resource) of what a stack makes in any cluster"""
OF_THE_CLUSTER = frozenset({"namespaces", "priorityclasses"})
"""resources that are in no namespace"""
ROUTE = (("gateway.networking.k8s.io/v1", "httproutes"),)
GROUPS = (("leaderworkerset.x-k8s.io/v1", "leaderworkersets"),)
SCALER = (("keda.sh/v1alpha1", "scaledobjects"),)
MONITORING = (("monitoring.coreos.com/v1", "podmonitors"), ("monitoring.coreos.com/v1", "prometheusrules"))
"""(API version, resource) of what is not Kubernetes' own"""

FACTORS = {
    "": 1, "m": 0.001, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15,
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50,
}  # fmt: skip
"""https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/"""


@dataclass(frozen=True)
class Node:
    """A node that pods may be put on: what of it can be given to pods; bytes, CPUs, GPUs."""

    name: str
    ready: bool
    cpus: float
    memory: float
    storage: float
    gpus: int
    arch: str = "amd64"


@dataclass(frozen=True)
class ClusterWanted:
    """What is asked of which cluster."""

    kubeconfig: str | None
    context: str
    namespace: str
    selector: tuple[tuple[str, str], ...]
    """labels of the nodes that pods may be put on"""
    custom: tuple[tuple[str, str], ...]
    """(API version, resource) of custom resources that the stack makes"""
    more: tuple[tuple[str, str], ...] = ()
    """(API group, resource) of what not every stack makes"""

    @property
    def rights(self) -> tuple[tuple[str, str], ...]:
        """(API group, resource) of everything that is made."""
        return (*MADE, *self.more, *((version.partition("/")[0], resource) for version, resource in self.custom))


@dataclass(frozen=True)
class ClusterAnswers:
    """What it said; every field is an answer or why there is none."""

    version: str | NoAnswer
    """of the API server, as "v1.33.2" """
    nodes: tuple[Node, ...] | NoAnswer
    custom: frozenset[tuple[str, str]] | NoAnswer
    """of those that were asked for, the ones it knows"""
    rights: Mapping[tuple[str, str], bool] | NoAnswer
    """whether each may be made in the namespace"""


def cluster_wanted(cluster: ClusterPlan) -> ClusterWanted | None:
    """None for a cluster that the stack makes itself: nothing of it is there to be asked."""
    if cluster.context is None:
        return None
    custom = (
        *(ROUTE if cluster.route is not None else ()),
        *(GROUPS if cluster.nodes_per_replica > 1 else ()),
        *(SCALER if cluster.scaler is not None else ()),
        *(MONITORING if cluster.monitoring is not None else ()),
    )
    selector = tuple(sorted(cluster.node_selector.items()))
    batch, gpu = cluster.batch, cluster.gpu
    more = {
        ("batch", "cronjobs"): batch is not None and batch.cron is not None,
        ("batch", "jobs"): batch is not None and batch.cron is None,
        ("apps", "daemonsets"): cluster.prefetch or (gpu is not None and gpu.device_plugin is not None),
        ("networking.k8s.io", "ingresses"): cluster.ingress is not None,
    }
    made = tuple(right for right, wanted in more.items() if wanted)
    return ClusterWanted(cluster.kubeconfig, cluster.context, cluster.namespace, selector, custom, made)


def judge_cluster(plan: Plan, cluster: ClusterPlan, wanted: ClusterWanted, said: ClusterAnswers) -> Iterator[Check]:
    """Every check of a cluster that exists."""
    group = f"cluster {wanted.context}"
    if isinstance(said.version, NoAnswer):
        yield said.version.check(group, "reached")
    else:
        yield _version(group, said.version)
    yield from _nodes(group, plan, cluster, said)
    if wanted.custom:
        yield _custom(group, wanted, said)
    yield _rights(group, wanted, said)


def refusals(wanted: ClusterWanted, said: ClusterAnswers) -> Iterator[Check]:
    """Why nothing may be made in the cluster. That a question was not answered is no reason, but for the first one."""
    group = f"cluster {wanted.context}"
    if isinstance(said.version, NoAnswer):
        yield said.version.check(group, "reached")
        return
    found = [_version(group, said.version), _rights(group, wanted, said)]
    if wanted.custom:
        found.append(_custom(group, wanted, said))
    if said.nodes == ():
        labels = ", ".join(f"{key}={value}" for key, value in wanted.selector) or "any"
        fix = "Label nodes, or correct slipway:pool.labels: `kubectl get nodes --show-labels`"
        found.append(judged(group, "nodes", False, found="it has no such node", wanted=labels, fix=fix))
    yield from (check for check in found if check.verdict == "off")


def _version(group: str, version: str) -> Check:
    match = re.match(r"v?(\d+)\.(\d+)", version)
    if match is None:
        return NoAnswer(f"its version is {version!r}", "Look at `kubectl version`").check(group, "version")
    new = (int(match[1]), int(match[2])) >= OLDEST
    oldest = ".".join(map(str, OLDEST))
    return judged(group, "version", new, found=version, wanted=f"{oldest} or later", fix="Upgrade the cluster")


def _nodes(group: str, plan: Plan, cluster: ClusterPlan, said: ClusterAnswers) -> Iterator[Check]:
    if isinstance(said.nodes, NoAnswer):
        yield said.nodes.check(group, "nodes")
        return
    selector = ", ".join(f"{key}={value}" for key, value in sorted(cluster.node_selector.items())) or "any label"
    ready = [node for node in said.nodes if node.ready and node.arch == "amd64"]
    yield judged(
        group,
        "nodes",
        len(ready) >= cluster.pool.nodes,
        found=f"{len(ready)} of {len(said.nodes)} ready, amd64",
        wanted=f"{cluster.pool.nodes} with {selector}",
        fix="See `kubectl get nodes --show-labels`; slipway:pool.labels says which nodes are meant",
    )
    gpus = sum(node.gpus for node in ready)
    need = cluster.pods * plan.engine.gpus_per_replica
    if need and not gpus and cluster.gpu_layer != "none":
        fix = "Ask again after `pulumi up`, or write slipway:cluster.gpu_layer: none where it is there already"
        yield Check(group, "GPUs", "not asked", "no node has a device plugin yet, which counts them", f"{need}", fix)
        return
    if need:
        fix = "See `kubectl describe node`: the driver, and who else has them; slipway:cluster.gpu_layer says more"
        yield judged(group, "GPUs", gpus >= need, found=f"{gpus} can be given", wanted=f"{need}", fix=fix)
    places = sum(fitting(node, plan, cluster) for node in ready)
    pod = cluster.pod
    yield judged(
        group,
        "places for pods",
        places >= cluster.pods,
        found=f"{places} pods have room, if nothing else runs there",
        wanted=f"{cluster.pods}, of {pod.cpus} CPUs and {about_bytes(pod.memory_bytes)} each",
        fix="Add nodes, or lower slipway:cluster.replicas, cpus or memory",
    )


def fitting(node: Node, plan: Plan, cluster: ClusterPlan) -> int:
    """How many pods the node has room for."""
    pod, gpus = cluster.pod, plan.engine.gpus_per_replica
    room = [node.cpus / pod.cpus, node.memory / pod.memory_bytes]
    if pod.storage_bytes:
        room.append(node.storage / pod.storage_bytes)
    if gpus:
        room.append(node.gpus / gpus)
    return int(min(room))


def _custom(group: str, wanted: ClusterWanted, said: ClusterAnswers) -> Check:
    names = ", ".join(f"{resource} ({version})" for version, resource in wanted.custom)
    if isinstance(said.custom, NoAnswer):
        return said.custom.check(group, "custom resources", names)
    missing = [
        f"{resource} ({version})" for version, resource in wanted.custom if (version, resource) not in said.custom
    ]
    found = f"it has no {', '.join(missing)}" if missing else "all there"
    fix = "Install what defines them (Gateway API, KEDA, Prometheus' operator, LeaderWorkerSet), or drop the setting"
    return judged(group, "custom resources", not missing, found=found, wanted=names, fix=fix)


def _rights(group: str, wanted: ClusterWanted, said: ClusterAnswers) -> Check:
    where = f"to make everything in {wanted.namespace}"
    if isinstance(said.rights, NoAnswer):
        return said.rights.check(group, "rights", where)
    denied = [resource for (_, resource), allowed in said.rights.items() if not allowed]
    found = f"not {', '.join(denied)}" if denied else "all"
    fix = f"Ask for a role in {wanted.namespace} that may create them: `kubectl auth can-i --list`"
    return judged(group, "rights", not denied, found=found, wanted=where, fix=fix)


def quantity(text: str) -> float:
    """A quantity of Kubernetes as a number. Raises ValueError for what is none.

    >>> quantity("3920m"), quantity("16Gi"), quantity("110")
    (3.92, 17179869184.0, 110.0)
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([a-zA-Z]{0,2})", text.strip())
    if match is None or match[2] not in FACTORS:
        raise ValueError(f"{text!r} is no quantity")
    return float(match[1]) * FACTORS[match[2]]
