"""What one pod that serves is: how long it may start and stop, what it asks of its node."""

from __future__ import annotations

import math
from collections.abc import Callable

from slipway.cluster_types import BatchPlan
from slipway.desired import Drain, HealthGate, Image, ModelFile
from slipway.errors import PlanError
from slipway.model_sources import parse_source
from slipway.plan_types import EnginePlan, PodPlan
from slipway.settings import Settings
from slipway.settings.resolving import replicas_of, shares_of
from slipway.units import GIB

SETTLE = 10
"""seconds after which no proxy or load balancer of a cluster sends new requests to a pod that ends, where nothing else
is said: endpoints are removed while the pod's own hook runs already.
https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination"""

PROBE_SECONDS = 10
"""between two probes while an engine starts"""
SIDECARS = 15
"""seconds that the proxy and the collector get behind the engine"""
SYSTEM = GIB
"""bytes that proxy, collector and the engine's own code take besides the model"""
GPU_HOST_MEMORY = 8 * GIB
"""bytes that an engine on GPUs takes on the host besides the weights, which pass through it while they are loaded; an
assumption"""
CPUS_PER_GPU = 4
"""an engine keeps one busy with scheduling and others with tokens; an assumption"""


def pod_plan(settings: Settings, engine: EnginePlan, model: ModelFile, gate: HealthGate, drain: Drain) -> PodPlan:
    """Raises PlanError for a model whose source no pod can fetch."""
    cluster = settings.cluster
    if cluster.claim is None and parse_source(model).kind != "url":
        raise PlanError(
            f"a pod cannot fetch {model.source}",
            where="slipway:model.source",
            fix="Use https://, hf:// or s3://, or put the file into a claim and write slipway:cluster.claim",
        )
    settle = math.ceil(drain.settle) or SETTLE
    wait = math.ceil(drain.deadline)
    return PodPlan(
        settle_seconds=settle,
        drain_seconds=wait,
        grace_seconds=settle + wait + engine.stop_seconds + SIDECARS,
        startup_seconds=math.ceil(gate.start_deadline + gate.health_deadline),
        probe_seconds=PROBE_SECONDS,
        cpus=cluster.cpus or _cpus(settings, engine),
        memory_bytes=cluster.memory or _memory(engine, model, cluster.nodes_per_replica),
        storage_bytes=0 if cluster.claim else round(model.size * 1.1),
        claim=cluster.claim,
        surge=_surge(settings, engine),
    )


def _cpus(settings: Settings, engine: EnginePlan) -> int:
    return CPUS_PER_GPU * engine.gpus_per_replica or settings.engine.threads or 1


def _memory(engine: EnginePlan, model: ModelFile, nodes: int) -> int:
    """On a CPU the weights stay; to a GPU they pass through the page cache, on each of several nodes its own layers."""
    rest = GPU_HOST_MEMORY if engine.gpus_per_replica else 0
    return math.ceil(model.size / nodes) + engine.shm_bytes + SYSTEM + rest


def _surge(settings: Settings, engine: EnginePlan) -> bool:
    """Whether a change may start a pod before it stops one: on a CPU, or where the pool has GPUs to spare; and where
    no node may have two, only with a node to spare."""
    nodes, replicas = settings.pool.nodes, replicas_of(settings)
    if settings.cluster.apart and nodes <= replicas:
        return False
    if engine.gpus_per_replica == 0:
        return True
    places = nodes * (settings.engine.gpus * shares_of(settings) // engine.gpus_per_replica)
    return places >= (replicas + 1) * settings.cluster.nodes_per_replica


def batch_plan(settings: Settings, engine: EnginePlan, image: Callable[[str], Image]) -> BatchPlan | None:
    """`image` finds one by its name in the release. The engine's own has Python where the engine is written in it."""
    wanted = settings.cluster.batch
    if wanted is None:
        return None
    return BatchPlan(
        image=image("batch") if "batch" in settings.cluster.images else engine.image,
        claim=wanted.claim,
        input=wanted.input,
        output=wanted.output,
        silence_seconds=int(wanted.silence),
        cron=wanted.cron,
        zone=wanted.zone,
        seconds=math.ceil(wanted.time) if wanted.time is not None else None,
        queue=wanted.queue,
    )
