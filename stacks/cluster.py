"""A service in a cluster: the manifests of a plan, and the secrets that they name."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from slipway.errors import PlanError
from slipway.gpu_layer import operator_values
from slipway.manifests import objects, render_cluster
from slipway.model_sources import Credentials, curl_credentials, curl_place, parse_source
from slipway.plan_types import ClusterPlan, Plan
from slipway.render import load_templates
from stacks.providers import Cluster
from stacks.resources import Certificate, StackKeys

TEMPLATES = Path(__file__).resolve().parent.parent / "templates"

KINDS: dict[tuple[str, str], Any] = {
    ("v1", "Namespace"): kubernetes.core.v1.Namespace,
    ("v1", "ServiceAccount"): kubernetes.core.v1.ServiceAccount,
    ("v1", "ConfigMap"): kubernetes.core.v1.ConfigMap,
    ("v1", "Service"): kubernetes.core.v1.Service,
    ("apps/v1", "DaemonSet"): kubernetes.apps.v1.DaemonSet,
    ("apps/v1", "Deployment"): kubernetes.apps.v1.Deployment,
    ("batch/v1", "CronJob"): kubernetes.batch.v1.CronJob,
    ("batch/v1", "Job"): kubernetes.batch.v1.Job,
    ("networking.k8s.io/v1", "Ingress"): kubernetes.networking.v1.Ingress,
    ("networking.k8s.io/v1", "NetworkPolicy"): kubernetes.networking.v1.NetworkPolicy,
    ("policy/v1", "PodDisruptionBudget"): kubernetes.policy.v1.PodDisruptionBudget,
    ("scheduling.k8s.io/v1", "PriorityClass"): kubernetes.scheduling.v1.PriorityClass,
}
"""what Kubernetes itself has; all else is a custom resource"""

WITH_PODS = ("CronJob", "DaemonSet", "Deployment", "Job", "LeaderWorkerSet")
"""kinds whose pods mount what else is made"""

TAKEN_BACK = {"pulumi.com/patchForce": "true"}
"""annotation of all objects: what somebody changed by hand is put back, where Pulumi would stop with a conflict"""
WAITING: dict[str, dict[str, str]] = {
    # Pulumi would wait for pods behind it, which are made after it, and waited for themselves.
    "Service": {"pulumi.com/skipAwait": "true"},
    # Of other people's objects Pulumi waits for none: a pool would go that groups still run on.
    "LeaderWorkerSet": {"pulumi.com/waitFor": "condition=Available"},
}
"""annotations of a kind that tell Pulumi what to wait for"""
PATIENT = ("Namespace", "Deployment", "LeaderWorkerSet")
"""kinds whose pods Pulumi waits for, while they start and while they end"""
WAIT = 600
"""seconds that Pulumi waits for anything where nothing else is said:
https://www.pulumi.com/registry/packages/kubernetes/api-docs/apps/v1/deployment/"""

SECRETS = "slipway.dev/secrets"
"""annotation of pods that changes with what they mount from Secrets, which no program in them reads again"""


@dataclass(frozen=True)
class ClusterArgs:
    """The plan and the cluster in it, that cluster as it is, the stack's keys, what a private model source asks for.
    The bucket of the stack's own is the cluster's `store`."""

    plan: Plan
    wanted: ClusterPlan
    cluster: Cluster
    keys: StackKeys
    model_credentials: dict[str, pulumi.Input[str]] | None = None


class ClusterService(pulumi.ComponentResource):
    """Everything that serves in the cluster. Pods are changed by the rolling update of what keeps them."""

    def __init__(self, name: str, args: ClusterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("slipway:stacks:ClusterService", name, {}, opts)
        wanted = args.wanted
        provider = kubernetes.Provider(
            name,
            kubeconfig=args.cluster.kubeconfig,
            context=args.cluster.context,
            namespace=wanted.namespace,
            # All that is made in the cluster waits for its provider.
            opts=pulumi.ResourceOptions(
                parent=self, depends_on=[args.cluster.asked] if args.cluster.asked is not None else []
            ),
        )
        self._args = args
        self._opts = pulumi.ResourceOptions(parent=self, provider=provider)
        found = objects(
            render_cluster(load_templates(TEMPLATES / "host"), load_templates(TEMPLATES / "cluster"), args.plan)
        )
        chart = _chart(wanted)
        first = [self._make(item, []) for item in found if item["kind"] == "Namespace"]
        before = [*first, *([args.cluster.pool] if args.cluster.pool else [])]
        secrets, digest = self._secrets(first)
        rest = [item for item in found if item["kind"] not in ("Namespace", *WITH_PODS)]
        made = [self._make(item, first) for item in rest if (item["apiVersion"], item["kind"]) in KINDS]
        mounted = [*before, *secrets, *made]
        # What is on every node is there first: what plugs GPUs in, images that pods need.
        ahead = [self._make(item, mounted) for item in found if item["kind"] == "DaemonSet"]
        for item in found:
            if item["kind"] in WITH_PODS and item["kind"] != "DaemonSet":
                resource = self._make(item, [*mounted, *ahead], digest)
                if self._serves(item):
                    self.workload = resource
        for item in rest:
            if (item["apiVersion"], item["kind"]) not in KINDS:
                self._make(item, [self.workload])
        self._operator(chart, before)
        self.register_outputs({})

    def _after(self, depends_on: list[pulumi.Resource]) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions.merge(self._opts, pulumi.ResourceOptions(depends_on=depends_on))

    def _operator(self, chart: str | None, depends_on: list[pulumi.Resource]) -> None:
        """NVIDIA's GPU operator, where the stack brings its chart. Pods that ask for GPUs wait by themselves."""
        layer = self._args.wanted.gpu
        if chart is None or layer is None or layer.operator is None:
            return
        kubernetes.helm.v3.Release(
            "gpu-operator",
            name="gpu-operator",
            chart=chart,
            namespace=layer.namespace,
            values=operator_values(layer, layer.operator, self._args.wanted.monitoring),
            skip_await=True,
            opts=self._after(depends_on),
        )

    def _serves(self, item: dict[str, Any]) -> bool:
        return (item["apiVersion"], item["kind"], item["metadata"]["name"]) == self._args.wanted.workload

    def _make(
        self, item: dict[str, Any], depends_on: list[pulumi.Resource], digest: pulumi.Output[str] | None = None
    ) -> pulumi.Resource:
        """`digest`: of what pods mount from Secrets."""
        api, kind, metadata = item["apiVersion"], item["kind"], item["metadata"]
        if digest is not None:
            _annotate(item, digest)
        name = f"{kind}/{metadata['name']}"
        opts = self._after(depends_on)
        annotations = metadata.get("annotations", {}) | TAKEN_BACK | WAITING.get(kind, {})
        metadata = metadata | {"annotations": annotations}
        if kind in PATIENT:
            opts = pulumi.ResourceOptions.merge(
                opts, pulumi.ResourceOptions(custom_timeouts=_timeouts(self._args.wanted))
            )
        if self._serves(item) and self._args.wanted.scaler is not None:
            opts = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(ignore_changes=["spec.replicas"]))
        made = KINDS.get((api, kind))
        rest = {key: value for key, value in item.items() if key not in ("apiVersion", "kind", "metadata")}
        if made is None:
            custom = kubernetes.apiextensions.CustomResource
            made_custom: pulumi.Resource = custom(
                name, api_version=api, kind=kind, metadata=metadata, opts=opts, **rest
            )
            return made_custom
        resource: pulumi.Resource = made(
            name, metadata=metadata, **{_snake(key): value for key, value in rest.items()}, opts=opts
        )
        return resource

    def _secrets(self, depends_on: list[pulumi.Resource]) -> tuple[list[pulumi.Resource], pulumi.Output[str]]:
        """What the manifests name and do not hold; and a digest that changes with what pods read once."""
        args, wanted = self._args, self._args.wanted
        service = f"{wanted.name}.{wanted.namespace}.svc"
        certificate = Certificate(
            wanted.name,
            ca_certificate=args.keys.ca_certificate,
            ca_key=args.keys.ca_key,
            names=_names(wanted, service),
            opts=pulumi.ResourceOptions(parent=self),
        )
        acl = args.keys.api_key.apply(lambda key: hashlib.sha256(key.encode()).hexdigest() + "\n")
        made = [
            self._secret("keys", {"keys.acl": acl}, "Opaque", depends_on),
            self._secret(
                "tls",
                {"tls.crt": certificate.certificate, "tls.key": certificate.private_key},
                "kubernetes.io/tls",
                depends_on,
            ),
        ]
        if args.model_credentials is not None:
            store = args.cluster.store
            place = {"endpoint": store.endpoint} if store is not None else {}
            curl = pulumi.Output.all(**args.model_credentials, **place).apply(lambda given: _curl(args.plan, given))
            made.append(self._secret("model", {"curl": curl}, "Opaque", depends_on))
        if wanted.ingress is not None:
            # As nginx reads it: whom to believe that it is a pod of ours.
            made.append(self._secret("ca", {"ca.crt": args.keys.ca_certificate}, "Opaque", depends_on))
        if wanted.route is not None:
            metadata = {"name": f"{wanted.name}-ca", "namespace": wanted.namespace, "annotations": TAKEN_BACK}
            data = {"ca.crt": args.keys.ca_certificate}
            made.append(
                kubernetes.core.v1.ConfigMap(
                    f"ConfigMap/{wanted.name}-ca", metadata=metadata, data=data, opts=self._after(depends_on)
                )
            )
        digest = pulumi.Output.all(acl, certificate.certificate).apply(
            lambda values: hashlib.sha256("\n".join(values).encode()).hexdigest()[:16]
        )
        return made, pulumi.Output.unsecret(digest)

    def _secret(
        self, suffix: str, data: Mapping[str, pulumi.Input[str]], kind: str, depends_on: list[pulumi.Resource]
    ) -> pulumi.Resource:
        wanted = self._args.wanted
        metadata = {"name": f"{wanted.name}-{suffix}", "namespace": wanted.namespace, "annotations": TAKEN_BACK}
        made: pulumi.Resource = kubernetes.core.v1.Secret(
            f"Secret/{metadata['name']}",
            metadata=metadata,
            type=kind,
            string_data={key: pulumi.Output.secret(value) for key, value in data.items()},
            opts=self._after(depends_on),
        )
        return made


def _timeouts(wanted: ClusterPlan) -> pulumi.CustomTimeouts:
    """Longer than all pods take one after another: `progressDeadlineSeconds` is what ends a change that hangs."""
    pods = wanted.replicas if wanted.scaler is None else wanted.scaler.most
    pod = wanted.pod
    change = f"{WAIT + pods * (2 * pod.startup_seconds + WAIT + pod.grace_seconds)}s"
    return pulumi.CustomTimeouts(create=change, update=change, delete=f"{WAIT + pod.grace_seconds}s")


def _chart(wanted: ClusterPlan) -> str | None:
    """The path of the operator's chart, which is the one that is pinned; None where there is none. Raises PlanError."""
    where, operator = "slipway:cluster.operator", wanted.gpu.operator if wanted.gpu is not None else None
    if operator is None or operator.chart is None:
        return None
    chart = operator.chart
    try:
        found = hashlib.sha256(Path(chart).read_bytes()).hexdigest()
    except OSError as error:
        what = f"the chart {chart} cannot be read: {error.strerror or error}"
        raise PlanError(what, where=f"{where}.chart", fix="Fetch it with `helm fetch`, and write its path") from None
    if found != operator.sha256:
        what = f"the chart {chart} is another one: its SHA-256 is {found}"
        raise PlanError(what, where=f"{where}.sha256", fix="Fetch the one that is pinned, or pin this one")
    return chart


def _annotate(item: dict[str, Any], digest: pulumi.Input[str]) -> None:
    """Every pod template in the object that has annotations."""
    if "containers" in item.get("spec", ()) and "annotations" in item["metadata"]:
        item["metadata"]["annotations"][SECRETS] = digest
    for value in item.values():
        if isinstance(value, dict):
            _annotate(value, digest)


def _names(wanted: ClusterPlan, service: str) -> list[pulumi.Input[str]]:
    """What clients in the cluster, and through its Gateway, call the service."""
    inside = [wanted.name, f"{wanted.name}.{wanted.namespace}", service, f"{service}.cluster.local", "localhost"]
    outside = [wanted.hostname] if wanted.hostname is not None else []
    return [*inside, *outside]


def _curl(plan: Plan, given: Mapping[str, str]) -> str:
    credentials = Credentials(
        token=given.get("token"),
        access_key=given.get("access_key"),
        secret_key=given.get("secret_key"),
        region=given.get("region", "us-east-1"),
    )
    if "endpoint" not in given:
        return curl_credentials(parse_source(plan.model, credentials), credentials)
    # The bucket is made with the stack, and where it is is known once it is there.
    model = plan.model.model_copy(update={"endpoint": given["endpoint"]})
    return curl_place(parse_source(model, credentials), credentials)


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
