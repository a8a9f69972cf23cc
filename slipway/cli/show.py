"""A plan for people, and the same as data."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from slipway.gates import completion_deadline, health_deadline
from slipway.gpus import find_gpu
from slipway.plan_types import ClusterPlan, Plan
from slipway.settings import Settings
from slipway.units import about_bytes, format_duration
from slipway.windows import window_text

if TYPE_CHECKING:
    from slipway.advice.types import Advice


def plan_data(plan: Plan, settings: Settings, advice: Advice | None = None) -> dict[str, Any]:
    """The plan as JSON-able data, with the arithmetic of its deadlines, and the summary of the advice it follows."""
    data: dict[str, Any] = TypeAdapter(Plan).dump_python(plan, mode="json")
    size = plan.model.size
    data["deadlines"] = {
        "health": dataclasses.asdict(health_deadline(settings, size)),
        "completion": dataclasses.asdict(completion_deadline(settings, size)),
    }
    if advice is not None:
        data["advice"] = list(advice.summary)
    return data


def show_plan(plan: Plan, settings: Settings, advice: Advice | None = None, console: Console | None = None) -> None:
    """Print the plan on standard output, a row a fact."""
    (console or Console(highlight=False)).print(fact_table(rows(plan, settings, advice)))


def fact_table(facts: Iterable[tuple[str, str]]) -> Table:
    """A row a fact: its name and its value."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(name, escape(value))
    return table


def rows(plan: Plan, settings: Settings, advice: Advice | None = None) -> Iterator[tuple[str, str]]:
    """Name and value of each fact; a name is empty where the row goes on from the one above."""
    size = plan.model.size
    for index, line in enumerate(advice.summary if advice else ()):
        yield "" if index else "advice", line
    yield "stack", f"{plan.stack} (provider {plan.provider}, release {plan.release})"
    yield "model", f"{plan.model_name}, {about_bytes(size)}, {plan.context} tokens a request, from {plan.model.source}"
    for index, replica in enumerate(plan.replicas):
        gpus = f", GPUs {', '.join(replica.devices)}" if replica.gpus else ", CPU"
        yield "" if index else "engines", f"{plan.engine.name} on 127.0.0.1:{replica.port}{gpus}"
    for index, line in enumerate(_gpu_lines(plan)):
        yield "" if index else "gpus", line
    proxy = plan.proxy
    yield (
        "proxy",
        (
            f"port {proxy.port} (TLS), {proxy.concurrency} at once a replica, {proxy.queue} may wait "
            f"{format_duration(proxy.queue_seconds)}; metrics on 127.0.0.1:{proxy.metrics_port}"
        ),
    )
    if proxy.key_requests is not None:
        yield "", f"at most {proxy.key_requests} requests a minute of one key, a proxy"
    if plan.scaling is not None:
        scaling = plan.scaling
        acts = "the scaler does it" if plan.cluster is not None and plan.cluster.scaler else "nothing acts on it yet"
        yield (
            "scaling",
            (
                f"another replica above {scaling.waiting:g} waiting a replica or {scaling.kv:.0%} of the KV cache, "
                f"{format_duration(scaling.cold_start)} ahead; {acts}"
            ),
        )
    collector = plan.collector
    target = f", sends to {collector.otlp_endpoint}" if collector.otlp_endpoint else ""
    yield "collector", f"metrics on 127.0.0.1:{collector.prometheus_port}, {collector.memory_mib} MiB{target}"
    for index, image in enumerate(plan.host.images):
        yield "" if index else "images", f"{image.name} {image.reference}"
    if plan.cluster is None:
        yield "packages", f"{len(plan.host.packages)} at exact versions, on {plan.host.os}"
    else:
        yield from _cluster_rows(plan.cluster)
    for wave in plan.waves:
        bake = f", then {format_duration(wave.bake_seconds)} of watching" if wave.bake_seconds else ""
        domain = f" of {wave.domain}" if wave.domain is not None else ""
        yield "" if wave.index else "waves", f"{wave.index}: {', '.join(wave.hosts)}{domain}{bake}"
    for index, window in enumerate(plan.windows):
        yield "" if index else "windows", window_text(window)
    yield "deadlines", f"healthy: {health_deadline(settings, size).why}"
    yield "", f"first completion: {completion_deadline(settings, size).why}"


def _gpu_lines(plan: Plan) -> Iterator[str]:
    """What a host's GPUs should be, and how they are told to work; nothing for CPUs."""
    gpu = plan.host.gpu
    if gpu is None:
        return
    how = "pinned" if gpu.mode == "pin" else "of the image, verified and held"
    kind = f"{gpu.expected.count} × {gpu.expected.name or 'GPU'}" if gpu.expected.count else "GPUs"
    way = "CDI" if gpu.devices == "cdi" else "NVIDIA's runtime, as this Docker knows no CDI"
    yield f"{kind}, driver {gpu.driver} ({gpu.modules} modules), {how}; containers get them by {way}"
    if gpu.mig is not None:
        known = find_gpu(gpu.expected.name).mig[gpu.mig].memory_mib if gpu.expected.name else None
        memory = f"{known / 1024:.2f} GiB each" if known else "of a memory that nobody could be quoted for"
        yield f"each cut into {gpu.mig_slices} × {gpu.mig}, {memory}; `slipway fit --mig {gpu.mig}` says what fits"
    told = [f"ECC {'on' if gpu.ecc else 'off'}"] if gpu.ecc is not None else []
    told += [f"at most {gpu.power_limit} W each"] if gpu.power_limit is not None else []
    if told:
        yield ", ".join(told)


def _gpu_rows(cluster: ClusterPlan) -> Iterator[tuple[str, str]]:
    gpu = cluster.gpu
    if gpu is None:
        return
    if gpu.operator is None:
        yield "GPU layer", f"device plugin and DCGM exporter in {gpu.namespace}; the node image brings the driver"
    else:
        who = "installed with the stack" if gpu.operator.chart else "which you install, with the values of `render`"
        driver = f"driver {gpu.operator.driver}" if gpu.operator.driver else "the driver of the node image"
        yield "GPU layer", f"NVIDIA's operator, {who}; {driver}"
    if gpu.mig is not None:
        yield "", f"GPUs cut into {gpu.mig}"
    if gpu.time_slices > 1:
        yield "", f"{gpu.time_slices} pods take turns on a GPU"


def _cluster_rows(cluster: ClusterPlan) -> Iterator[tuple[str, str]]:
    pool, pod = cluster.pool, cluster.pod
    where = f"context {cluster.context}" if cluster.context else f"made, Kubernetes {cluster.version or 'of the cloud'}"
    yield "cluster", f"{where}, namespace {cluster.namespace}, {cluster.workload[1]} {cluster.workload[2]}"
    gpus = f" of {pool.gpus} × {pool.gpu or 'GPU'}" if pool.gpus else ""
    chosen = ", ".join(f"{key}={value}" for key, value in cluster.node_selector.items()) or "any node"
    yield "pool", f"{pool.nodes} nodes{gpus}, {chosen}"
    yield from _gpu_rows(cluster)
    if cluster.hostname is not None:
        how = f"Ingress {cluster.ingress.controller}" if cluster.ingress is not None else "Gateway"
        yield "way in", f"{cluster.hostname}, by {how}"
    scaler = cluster.scaler
    count = f"{scaler.least} to {scaler.most}, by {scaler.waiting:g} waiting" if scaler else str(cluster.replicas)
    change = "one more before one is stopped" if pod.surge else "one stopped before another starts"
    yield "pods", f"{count}; {pod.cpus} CPUs, {about_bytes(pod.memory_bytes)} each; a change: {change}"
    if cluster.nodes_per_replica > 1:
        yield "", f"each spread over {cluster.nodes_per_replica} nodes"
    if cluster.apart:
        yield "", "never two on one node"
    if scaler is not None and (scaler.kv or scaler.first_token):
        asked = [f"{scaler.kv:.0%} of the KV cache"] if scaler.kv else []
        asked += [f"{format_duration(scaler.first_token)} to the first token"] if scaler.first_token else []
        yield "", f"another also above {' or '.join(asked)}"
    for bound in scaler.scheduled if scaler else ():
        yield "", f"{bound.pods} or more from {bound.start} until {bound.end} ({bound.zone})"
    if cluster.spares:
        yield "", f"{cluster.spares} more places are held free, by pods that give way"
    if cluster.prefetch:
        yield "", f"images {'and the model ' if pod.claim else ''}are put on every node ahead of them"
    batch = cluster.batch
    if batch is not None:
        when = f"at {batch.cron} ({batch.zone})" if batch.cron else "from now on"
        until = f", for {format_duration(batch.seconds)} each time" if batch.seconds else ""
        yield "batch", f"{batch.input} of claim {batch.claim}, {when}{until}; answers in {batch.output}"
    wait = f"{pod.settle_seconds} s to be left alone + {pod.drain_seconds} s for open requests"
    yield "", f"end: {wait} + the rest to stop = {pod.grace_seconds} s"
