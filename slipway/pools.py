"""The cluster part of a plan: which nodes pods run on, and the name by which a change makes new ones."""

from __future__ import annotations

import hashlib
import json
import math
import re

from slipway.cluster_types import BatchPlan, GpuLayerPlan, IngressPlan, ScheduledPlan
from slipway.engine_facts import FACTS
from slipway.plan_types import ClusterPlan, PodPlan, PoolPlan, RoutePlan, ScalerPlan, ScalingPlan, Taint
from slipway.settings import Settings
from slipway.settings.resolving import cloud_of, driver_from, gpu_layer_of, offer_of, replicas_of

STACK_LABEL, RELEASE_LABEL, POOL_LABEL = "slipway.dev/stack", "slipway.dev/release", "slipway.dev/pool"
MIG_LABEL = "nvidia.com/mig.config"
GPU_TAINT = Taint("nvidia.com/gpu", "present", "NoSchedule")
"""as managed clusters set it on GPU nodes: https://cloud.google.com/kubernetes-engine/docs/how-to/gpus"""

NGINX = "nginx"
"""the IngressClass of ingress-nginx, whose annotations are known here: it speaks TLS to the pods, knows them by the
stack's own authority, and waits as long as a request may:
https://kubernetes.github.io/ingress-nginx/user-guide/nginx-configuration/annotations/"""

WAITING = 1.0
"""requests that wait, a pod, above which another is started, where neither stack file nor advice says"""

MOST_STACK = 31
"""characters of the stack's name in that of a pool, which GKE takes 40 of, with a hyphen and the generation"""


def namespace_of(settings: Settings, stack: str) -> str:
    """Of everything that serves."""
    return settings.cluster.namespace or f"slipway-{dns_label(stack)}"[:63].rstrip("-")


def cluster_plan(
    settings: Settings,
    stack: str,
    pod: PodPlan,
    scaling: ScalingPlan | None,
    *,
    gpu: GpuLayerPlan | None = None,
    batch: BatchPlan | None = None,
) -> ClusterPlan:
    """The cluster and the pool of `kind: node-pool`.

    Pods go to the pool that is made for them; in a cluster that exists, to nodes with the labels of `slipway:pool`.
    """
    cluster, pool = settings.cluster, pool_plan(settings, stack)
    gateway = cluster.gateway
    exists = settings.provider == "kubernetes"
    return ClusterPlan(
        name=dns_label(stack),
        namespace=namespace_of(settings, stack),
        pool=pool,
        pod=pod,
        node_selector=dict(settings.pool.labels) if exists else {POOL_LABEL: pool.name},
        replicas=replicas_of(settings),
        gpu_layer=gpu_layer_of(settings),
        gpu=gpu,
        batch=batch,
        prefetch=cluster.prefetch,
        spares=cluster.spares,
        context=cluster.context,
        kubeconfig=cluster.kubeconfig,
        version=cluster.version,
        private=cluster.private,
        api_from=cluster.api_from,
        scaler=_scaler(settings, pod, scaling),
        route=RoutePlan(gateway.name, gateway.namespace, gateway.hostname) if gateway else None,
        ingress=_ingress(settings, dns_label(stack), namespace_of(settings, stack)),
        clients=cluster.clients,
        clients_from=cluster.clients_from,
        monitoring=cluster.monitoring,
        apart=cluster.apart,
        nodes_per_replica=cluster.nodes_per_replica,
        weights=settings.weights is not None,
    )


def _ingress(settings: Settings, name: str, namespace: str) -> IngressPlan | None:
    wanted, proxy = settings.cluster.ingress, settings.proxy
    if wanted is None:
        return None
    written = {"cert-manager.io/cluster-issuer": wanted.issuer} if wanted.issuer is not None else {}
    if wanted.controller == NGINX:
        silence = str(math.ceil(proxy.queue_timeout + proxy.stream_timeout))
        asked = {
            "backend-protocol": "HTTPS",
            "proxy-ssl-secret": f"{namespace}/{name}-ca",
            "proxy-ssl-verify": "on",
            "proxy-ssl-server-name": "on",
            "proxy-ssl-name": f"{name}.{namespace}.svc",
            "proxy-read-timeout": silence,
            "proxy-send-timeout": silence,
            "proxy-buffering": "off",
            "proxy-body-size": "32m",
        }
        written |= {f"nginx.ingress.kubernetes.io/{key}": value for key, value in asked.items()}
    secret = wanted.secret or f"{name}-ingress"
    return IngressPlan(wanted.controller, wanted.hostname, secret, written | wanted.annotations)


def _scaler(settings: Settings, pod: PodPlan, scaling: ScalingPlan | None) -> ScalerPlan | None:
    wanted = settings.cluster.scaling
    if wanted is None:
        return None
    return ScalerPlan(
        least=wanted.min,
        most=wanted.max,
        prometheus=wanted.prometheus,
        waiting=wanted.waiting or (scaling.waiting if scaling else WAITING),
        cold_start=math.ceil(scaling.cold_start) if scaling else pod.startup_seconds,
        kv=wanted.kv or (scaling.kv if scaling and "kv_cache" in FACTS[settings.engine.name].metrics else None),
        first_token=wanted.first_token,
        scheduled=tuple(ScheduledPlan(each.start, each.end, each.zone, each.pods) for each in wanted.scheduled),
    )


def pool_plan(settings: Settings, stack: str) -> PoolPlan:
    """The nodes. `slipway:pool.nodes` and labels of one's own change a pool in place; all else makes a new one."""
    pool, engine, cloud = settings.pool, settings.engine, cloud_of(settings)
    offer = offer_of(settings)
    driver = driver_from(settings)
    made_from = {
        "release": settings.release,
        "instance": cloud.instance if cloud is not None else None,
        "version": settings.cluster.version,
        "image": pool.image,
        "disk": pool.disk,
        "driver": driver,
        "taint": pool.taint,
    }
    generation = hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()[:8]
    name = f"{dns_label(stack)[:MOST_STACK].rstrip('-')}-{generation}"
    return PoolPlan(
        name=name,
        generation=generation,
        nodes=pool.nodes,
        max_nodes=max(pool.nodes, pool.max_nodes or 0),
        gpus=engine.gpus,
        gpu=offer.gpu if offer is not None else None,
        labels={
            STACK_LABEL: label_value(stack),
            RELEASE_LABEL: label_value(settings.release),
            POOL_LABEL: name,
            **_mig_label(settings),
            **pool.labels,
        },
        taints=(GPU_TAINT,) if pool.taint and engine.gpus else (),
        driver=driver,
        image=pool.image,
    )


def _mig_label(settings: Settings) -> dict[str, str]:
    """By which the operator's MIG manager is told how to cut a node's GPUs.
    https://docs.nvidia.com/datacenter/cloud-native/gpu-operator/latest/gpu-operator-mig.html"""
    profile = settings.cluster.gpu_sharing.mig
    return {MIG_LABEL: f"all-{profile}"} if profile is not None and gpu_layer_of(settings) == "operator" else {}


def dns_label(text: str) -> str:
    """The text as a DNS label: lower-case letters, digits, hyphens; at most 56, which leaves room for a suffix."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:56] or "host"


def label_value(text: str) -> str:
    """The text as a value of a Kubernetes label: at most 63 of letters, digits, `-`, `_`, `.`.
    https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/"""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text)[:63].strip("-_.")
