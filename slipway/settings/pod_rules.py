"""Rules about the pods of a node pool: whether the model has room on their GPUs, and on how many nodes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial

from slipway.engine_facts import FACTS
from slipway.models import catalogue
from slipway.settings.finding import Finding, engine_is_open
from slipway.settings.resolving import GPU_LABEL, gpu_of, replicas_of
from slipway.settings.sections import Settings
from slipway.units import MIB, BadValueError, about_bytes, format_duration
from slipway.windows import check_cron, check_zone

OVER_NODES = ("vllm", "sglang")
"""engines that spread a replica over nodes. llama.cpp has an RPC backend, "fragile and insecure" to its own makers:
https://github.com/ggml-org/llama.cpp/blob/master/tools/rpc/README.md"""


def several_nodes(settings: Settings) -> Iterator[Finding]:
    engine, nodes = settings.engine, settings.cluster.nodes_per_replica
    if settings.kind != "node-pool" or nodes == 1 or engine_is_open(settings):
        return
    where, used = ("cluster", "nodes_per_replica"), (("engine", "name"), ("engine", "gpus"))
    if engine.name not in OVER_NODES:
        what = f"{engine.name} is not spread over nodes here"
        yield Finding(where, what, "Use vllm or sglang, or take it out", used)


def weights_fit(settings: Settings) -> Iterator[Finding]:
    """Weights alone, without what requests need: `slipway fit` says the rest."""
    engine, known = settings.engine, catalogue().get(settings.model.name)
    size, gpu = settings.model.size or (known.size if known else 0), gpu_of(settings)
    if settings.kind != "node-pool" or settings.gpu is not None or gpu is None or not size:
        return
    share = engine.memory_fraction or FACTS[engine.name].memory_fraction or 1.0
    slices = gpu.mig.get(settings.cluster.gpu_sharing.mig or "")
    memory = gpu.usable_mib if slices is None else slices.memory_mib or gpu.usable_mib
    each, nodes = memory * MIB * share, settings.cluster.nodes_per_replica
    if size <= each * engine.tensor_parallel * nodes:
        return
    used = (("model", "size"), ("engine",), ("cluster", "nodes_per_replica"), ("pool", "labels"))
    kind = gpu.name if slices is None else f"{settings.cluster.gpu_sharing.mig} of {gpu.name}"
    of = f"{engine.tensor_parallel} × {kind}" + (f" on each of {nodes} nodes" if nodes > 1 else "")
    have = about_bytes(round(each * engine.tensor_parallel * nodes))
    what = f"the weights of {about_bytes(size)} do not fit {of}, which have {have} for them"
    if slices is not None:
        yield Finding(("cluster", "gpu_sharing", "mig"), what, "Write a larger profile, or take it out", used)
        return
    if size <= each * engine.gpus * nodes:
        need = min(n for n in range(1, engine.gpus + 1) if size <= each * n * nodes)
        fix = f"Write {need} or more of the {engine.gpus} GPUs of a node"
        yield Finding(("engine", "tensor_parallel"), what, fix, used)
        return
    fix = "Take nodes with more GPUs or larger ones"
    if engine.name in OVER_NODES:
        need = math.ceil(size / (each * engine.gpus))
        fix = f"Write {need} or more, with engine.tensor_parallel: {engine.gpus}; or take nodes with more GPUs"
    yield Finding(("cluster", "nodes_per_replica"), what, fix, used)


def sharing(settings: Settings) -> Iterator[Finding]:
    """GPUs that pods share."""
    engine, chosen, gpu = settings.engine, settings.cluster.gpu_sharing, gpu_of(settings)
    where, used = ("cluster", "gpu_sharing"), (("engine",), ("pool", "labels"))
    if (
        settings.kind != "node-pool"
        or settings.gpu is not None
        or "gpu_sharing" not in settings.cluster.model_fields_set
    ):
        return
    if not engine.gpus:
        yield Finding(where, "this shares GPUs, and engine.gpus is 0", "Take it out", used)
        return
    if chosen.mig is not None and engine.tensor_parallel > 1:
        what = f"a replica over {engine.tensor_parallel} GPUs cannot run on slices: they do not talk to each other"
        yield Finding((*where, "mig"), what, "Write engine.tensor_parallel: 1, or take mig out", used)
    elif chosen.mig is not None and gpu is None:
        what = f"how many slices of {chosen.mig} a GPU gives is not known, as the kind of GPU is not"
        fix = f"Add {GPU_LABEL} to slipway:pool.labels, as `kubectl get nodes --show-labels` shows it"
        yield Finding((*where, "mig"), what, fix, used)
    elif chosen.mig is not None and gpu is not None and chosen.mig not in gpu.mig:
        what = f"{gpu.name} cannot be cut into {chosen.mig}" if gpu.mig else f"{gpu.name} cannot be cut"
        fix = f"Write one of {', '.join(gpu.mig)}" if gpu.mig else "Take it out"
        yield Finding((*where, "mig"), what, fix, used)
    fraction = engine.memory_fraction or FACTS[engine.name].memory_fraction
    if fraction is not None and fraction * chosen.time_slices > 1 and chosen.time_slices > 1:
        what = f"{chosen.time_slices} pods share the memory of a GPU, and each takes {fraction:.2f} of it"
        fix = f"Write engine.memory_fraction: {0.95 / chosen.time_slices:.2f} or less, or lower time_slices"
        yield Finding((*where, "time_slices"), what, fix, used)


def operator(settings: Settings) -> Iterator[Finding]:
    cluster, where = settings.cluster, ("cluster", "operator")
    if settings.kind != "node-pool" or "operator" not in cluster.model_fields_set:
        return
    if cluster.gpu_layer != "operator":
        what = f"this is about NVIDIA's GPU operator, and gpu_layer is {cluster.gpu_layer}"
        yield Finding(where, what, "Take it out, or write gpu_layer: operator", (("cluster", "gpu_layer"),))
    if (cluster.operator.chart is None) != (cluster.operator.sha256 is None):
        fix = "Write both: chart is the archive that `helm fetch` leaves, sha256 what `sha256sum` prints of it"
        yield Finding((*where, "sha256"), "a chart is pinned by its SHA-256, and one of the two is missing", fix)


def batch(settings: Settings) -> Iterator[Finding]:
    chosen, where, images = settings.cluster.batch, ("cluster", "batch"), settings.cluster.images
    if settings.kind != "node-pool" or chosen is None:
        return
    if chosen.input == chosen.output:
        yield Finding((*where, "output"), "the answers would be written over the requests", "Write another file")
    if settings.engine.name not in OVER_NODES and "batch" not in images and not engine_is_open(settings):
        what = f"the image of {settings.engine.name} has no Python, which puts the requests to the engine"
        fix = "Add slipway:cluster.images.batch: an image with python3, by digest, such as docker.io/library/python"
        yield Finding(where, what, fix, (("engine", "name"), ("cluster", "images")))
    if settings.cluster.nodes_per_replica > 1:
        what = "a batch runs in one pod, and a replica is spread over several nodes"
        yield Finding(where, what, "Take it out: put the requests to the service", (("cluster", "nodes_per_replica"),))
    yield from _clock(where, cron=chosen.cron, zone=chosen.zone)
    if chosen.time is not None and chosen.time < 60:
        what = f"{format_duration(chosen.time)} is no time in which an engine starts"
        yield Finding((*where, "time"), what, 'Write "1m" or more, such as "8h"')
    if chosen.silence < 1 or chosen.silence != int(chosen.silence):
        what = f"{format_duration(chosen.silence)} is not a whole number of seconds, 1 or more"
        yield Finding((*where, "silence"), what, 'Write one, such as "1h"')


def scaling(settings: Settings) -> Iterator[Finding]:
    chosen, where = settings.cluster.scaling, ("cluster", "scaling")
    if settings.kind != "node-pool" or chosen is None:
        return
    if chosen.min == 0:
        what = "without a pod nothing holds the first request: the queue is in the pods"
        yield Finding((*where, "min"), what, "Write 1 or more; scheduled adds pods by the clock")
    elif chosen.min > chosen.max:
        what = f"the fewest pods are {chosen.min}, and the most {chosen.max}"
        yield Finding((*where, "max"), what, f"Write {chosen.min} or more", ((*where, "min"),))
    for field, figure in (("kv", "kv_cache"), ("first_token", "first_token")):
        metrics = FACTS[settings.engine.name].metrics
        if getattr(chosen, field) is not None and figure not in metrics and not engine_is_open(settings):
            what = f"{settings.engine.name} does not say it in its metrics"
            yield Finding(
                (*where, field), what, "Take it out; waiting is the proxy's own figure", (("engine", "name"),)
            )
    for index, bound in enumerate(chosen.scheduled):
        at = (*where, "scheduled", index)
        yield from _clock(at, start=bound.start, end=bound.end, zone=bound.zone)
        if not chosen.min < bound.pods <= chosen.max:
            what = f"{bound.pods} pods are not between min {chosen.min} and max {chosen.max}"
            yield Finding((*at, "pods"), what, f"Write {chosen.min + 1} to {chosen.max}", (where,))


def spares(settings: Settings) -> Iterator[Finding]:
    pool, cluster = settings.pool, settings.cluster
    if settings.kind != "node-pool" or not cluster.spares:
        return
    used = (("pool",), ("engine",), ("cluster", "replicas"))
    if cluster.nodes_per_replica > 1:
        what = "a spare holds one pod's place, and a replica is spread over several nodes"
        yield Finding(("cluster", "spares"), what, "Take it out", (("cluster", "nodes_per_replica"),))
        return
    places, pods = max(pool.nodes, pool.max_nodes or 0) * settings.engine.replicas, replicas_of(settings)
    if pods + cluster.spares > places:
        what = f"{pods} pods and {cluster.spares} spares need more than the {places} places of the pool"
        yield Finding(("cluster", "spares"), what, "Lower it or cluster.replicas, or raise slipway:pool.nodes", used)


def ways_in(settings: Settings) -> Iterator[Finding]:
    cluster, where = settings.cluster, ("cluster", "ingress")
    chosen = cluster.ingress
    if settings.kind != "node-pool" or chosen is None:
        return
    if cluster.gateway is not None:
        what = "there is a Gateway as well, and clients need one way in"
        yield Finding(where, what, "Take one of the two out", (("cluster", "gateway"),))
    if (chosen.issuer is None) == (chosen.secret is None):
        what = f"the certificate of {chosen.hostname} comes from one place, and this names " + (
            "none" if chosen.issuer is None else "two"
        )
        yield Finding(where, what, "Write issuer, for cert-manager to make it, or secret, that has it")


def _clock(at: tuple[str | int, ...], *, zone: str, **crons: str | None) -> Iterator[Finding]:
    """`crons`: by the field that each stands in."""
    checks: list[tuple[str, Callable[[], None]]] = [("zone", partial(check_zone, zone))]
    checks += [(field, partial(check_cron, cron)) for field, cron in crons.items() if cron is not None]
    for field, check in checks:
        try:
            check()
        except BadValueError as error:
            yield Finding((*at, field), error.what, error.fix)


RULES: tuple[Callable[[Settings], Iterator[Finding]], ...] = (
    several_nodes,
    weights_fit,
    sharing,
    operator,
    batch,
    scaling,
    spares,
    ways_in,
)
