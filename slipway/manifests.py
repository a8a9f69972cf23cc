"""A plan with a cluster → the objects that serve it there, as YAML for people and GitOps, and as values for Pulumi."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

import yaml

from slipway.dashboards import dashboard
from slipway.desired import HostFile
from slipway.errors import RenderError
from slipway.gpu_layer import operator_values
from slipway.model_sources import Credentials, Source, curl_config, curl_transfer, parse_source, public
from slipway.plan_types import ClusterPlan, Plan
from slipway.render import MANIFEST, FileEntry, Manifest, parse_manifest, render

SCRIPTS = ("fetch.sh", "drain.sh")
FOLLOWING = ("follow.sh",)
"""for replicas of several pods"""
SHARED = ("haproxy.cfg", "collector.yaml")
"""files of a host that a pod has as well, from the same templates"""
VALUES = ".values.yaml"
CURL = "fetch.curl"


@dataclass(frozen=True)
class Flows:
    """Ports that a pod may connect to, and what for: a policy knows addresses and not names."""

    ports: tuple[dict[str, Any], ...]
    why: str


@dataclass(frozen=True)
class Mounted:
    """Files of a ConfigMap, and its name, which changes with them."""

    name: str
    files: dict[str, str]


@dataclass(frozen=True)
class Config:
    """What a pod mounts under /etc/slipway, and the name of the ConfigMap with it."""

    name: str
    files: dict[str, str]
    serving: Flows
    """what a pod that serves may connect to"""
    batch: Mounted | None
    """what the pod of a batch mounts, where there is one"""
    dashboard: str
    """JSON of a dashboard of Grafana; nothing where nobody watches"""
    fetching: Flows
    """what a pod that only fetches the model may connect to"""


def render_cluster(
    host_templates: Mapping[str, str], cluster_templates: Mapping[str, str], plan: Plan
) -> tuple[HostFile, ...]:
    """The manifests of a plan that has a cluster, in the order in which they are applied; `path` has no folder.

    Keys, certificates and credentials of a model's source are in Secrets that whoever applies them brings:
    `<name>-keys` (`keys.acl`), `<name>-tls` (of type kubernetes.io/tls) and, for a private model, `<name>-model`
    (`curl`, which with a bucket of the stack's own says where the model is, too). Raises RenderError.
    """
    if plan.cluster is None:
        raise RenderError("the plan has no cluster", where="slipway:kind", fix="Write kind: node-pool")
    if MANIFEST not in cluster_templates:
        raise RenderError("there is no manifest.toml", where="templates", fix="Use a template folder with a manifest")
    config = _config(plan, plan.cluster, host_templates, cluster_templates)
    context = {"plan": plan, "cluster": plan.cluster, "config": config}
    files = render(cluster_templates, parse_manifest(cluster_templates[MANIFEST]), context)
    return (*(file for file in files if file.content.strip()), *_values(plan.cluster))


def _values(cluster: ClusterPlan) -> Iterator[HostFile]:
    """Of the chart of NVIDIA's operator, where there is one."""
    if cluster.gpu is not None and cluster.gpu.operator is not None:
        values = operator_values(cluster.gpu, cluster.gpu.operator, cluster.monitoring)
        yield HostFile(path=f"13-gpu-operator{VALUES}", content=yaml.safe_dump(values, sort_keys=False))


def objects(files: Sequence[HostFile]) -> list[dict[str, Any]]:
    """The objects in the manifests, of which a chart's values are none. Raises RenderError for one that is no YAML."""
    found: list[dict[str, Any]] = []
    for file in files:
        if file.path.endswith(VALUES):
            continue
        try:
            found += [document for document in yaml.safe_load_all(file.content) if document is not None]
        except yaml.YAMLError as error:
            raise RenderError(f"this is no YAML: {error}", where=file.path, fix="Correct its template") from error
    return found


def _config(
    plan: Plan, cluster: ClusterPlan, host_templates: Mapping[str, str], cluster_templates: Mapping[str, str]
) -> Config:
    shared = _rendered(host_templates, SHARED, {"plan": plan})
    scripts = (*SCRIPTS, *(FOLLOWING if cluster.nodes_per_replica > 1 else ()))
    own = _rendered(cluster_templates, scripts, {"plan": plan, "cluster": cluster})
    files = {**shared, **own}
    if _fetched(plan, cluster):
        output, size = f"{plan.model.path}.part", plan.model.size
        files[CURL] = curl_transfer(output, size) if cluster.weights else curl_config(_source(plan), output, size, None)
    batch = None
    if cluster.batch is not None:
        fetched = {name: files[name] for name in (*SCRIPTS[:1], CURL) if name in files}
        script = _rendered(cluster_templates, ("batch.py",), {})
        made_from = _digest([fetched, script, asdict(cluster.batch), asdict(plan.engine)])
        batch = Mounted(f"{cluster.name}-batch-{made_from}", fetched | script)
    board = json.dumps(dashboard(plan, cluster), indent=1) if cluster.monitoring is not None else ""
    fetching = _model_flow(plan, cluster)
    sending = plan.collector.otlp_endpoint
    serving = fetching if sending is None else {_port(sending): f"metrics, to {sending}"} | fetching
    return Config(f"{cluster.name}-{_digest(files)}", files, _flows(serving), batch, board, _flows(fetching))


def _digest(made_from: object) -> str:
    return hashlib.sha256(json.dumps(made_from, sort_keys=True, default=str).encode()).hexdigest()[:8]


def _rendered(templates: Mapping[str, str], names: Sequence[str], context: Mapping[str, Any]) -> dict[str, str]:
    manifest = Manifest(file=tuple(FileEntry(template=f"{name}.j2", path=name) for name in names))
    return {file.path: file.content for file in render(templates, manifest, context)}


def _fetched(plan: Plan, cluster: ClusterPlan) -> bool:
    """Whether pods fetch the model; else it is put into their claim by somebody."""
    return cluster.weights or _source(plan).kind == "url"


def _model_flow(plan: Plan, cluster: ClusterPlan) -> dict[int, str]:
    if not _fetched(plan, cluster):
        return {}
    url = plan.model.source if cluster.weights else _source(plan).url
    return {_port(url): f"the model, from {public(url)}"}


def _flows(wanted: Mapping[int, str]) -> Flows:
    ports = sorted(wanted)
    return Flows(tuple({"port": port, "protocol": "TCP"} for port in ports), "; ".join(wanted[port] for port in ports))


def _source(plan: Plan) -> Source:
    return parse_source(plan.model, Credentials(region=plan.model_region))


def _port(url: str) -> int:
    parts = urlsplit(url)
    return parts.port or (80 if parts.scheme == "http" else 443)
