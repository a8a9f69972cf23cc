"""A stack's model with what the catalogues know of it filled in."""

from __future__ import annotations

from typing import Literal

from slipway.errors import PlanError, SizingError
from slipway.gpus import Gpu, find_gpu
from slipway.models import ResolvedModel, catalogue, parse_source
from slipway.offers import Offer, offers
from slipway.settings.clouds import CloudSection
from slipway.settings.cluster import GpuLayer
from slipway.settings.sections import Settings

GPU_LABEL = "nvidia.com/gpu.product"
"""label by which NVIDIA's feature discovery says what GPUs a node has: https://github.com/NVIDIA/k8s-device-plugin"""


def resolve_model(settings: Settings) -> ResolvedModel:
    """The stack's model with what the catalogue knows filled in. Raises `PlanError` when something is left open."""
    chosen, known = settings.model, catalogue().get(settings.model.name)
    from_catalogue = known is not None and chosen.source is None
    source = known.source if known and from_catalogue else chosen.source
    sha256 = known.sha256 if known and from_catalogue else chosen.sha256
    size = known.size if known and from_catalogue else chosen.size
    context = chosen.context or (known.context if known else None)
    if source is None or sha256 is None or size is None or context is None:
        fix = "Add source, sha256, size and context, or use a model of the catalogue"
        raise PlanError(f"{chosen.name!r} is not fully described", where="slipway:model", fix=fix)
    return ResolvedModel(chosen.name, parse_source(source), sha256, size, context, chosen.endpoint)


def architecture_name(settings: Settings) -> str:
    """The name under which the catalogue of architectures should know this stack's model."""
    chosen = settings.model
    if chosen.architecture is not None:
        return chosen.architecture
    known = catalogue().get(chosen.name)
    if known is not None and chosen.source is None:
        return known.architecture or chosen.name
    source = parse_source(chosen.source) if chosen.source is not None else None
    return source.container if source is not None and source.scheme == "hf" else chosen.name


def cloud_of(settings: Settings) -> CloudSection | None:
    """The section of the stack's cloud; None where the provider is none."""
    section = getattr(settings, settings.provider, None)
    return section if isinstance(section, CloudSection) else None


def balanced(settings: Settings) -> bool:
    """Whether a cloud's load balancer stands in front of the hosts."""
    cloud = cloud_of(settings)
    if cloud is None or settings.kind != "host":
        return False
    return cloud.load_balancer == "always" or (cloud.load_balancer == "auto" and settings.hosts.count > 1)


def settle_seconds(settings: Settings) -> float:
    """How long load balancers in front need to see that a host drains; where nothing is said, as long as ours does."""
    cloud = cloud_of(settings)
    if cloud is None or not balanced(settings) or "settle" in settings.drain.model_fields_set:
        return settings.drain.settle
    return float(cloud.SEEN)


def gpu_layer_of(settings: Settings) -> GpuLayer:
    """Who makes GPUs of nodes something that pods can ask for; in a cluster that exists that is there, unless said."""
    said = "gpu_layer" in settings.cluster.model_fields_set
    if not settings.engine.gpus or (settings.provider == "kubernetes" and not said):
        return "none"
    return settings.cluster.gpu_layer


def driver_from(settings: Settings) -> Literal["image", "operator"]:
    """Who brings the driver of a pool's nodes."""
    cluster = settings.cluster
    return "operator" if cluster.gpu_layer == "operator" and cluster.operator.driver == "release" else "image"


def shares_of(settings: Settings) -> int:
    """Pods that may have a share of one GPU: slices that MIG cuts, times those that take turns. Slices that are not
    known count as one; a rule refuses them."""
    sharing, gpu = settings.cluster.gpu_sharing, gpu_of(settings)
    slices = gpu.mig.get(sharing.mig) if gpu is not None and sharing.mig is not None else None
    return (slices.count if slices is not None else 1) * sharing.time_slices


def replicas_of(settings: Settings) -> int:
    """Replicas that serve in a cluster: what the stack file says, or as many as fit the pool's nodes."""
    pool, cluster = settings.pool, settings.cluster
    return cluster.replicas or pool.nodes * settings.engine.replicas // cluster.nodes_per_replica


def offer_of(settings: Settings) -> Offer | None:
    """What each host is and costs: the stack file's own offer, else the listed one of its region; None if unknown.

    A price of another region is none: regions differ.
    """
    provider, own = settings.provider, settings.offers
    if provider == "ssh":
        return next((offer for offer in own if offer.provider == provider), None)
    cloud = cloud_of(settings)
    if cloud is None:
        return None
    for offer in (*own, *offers()):
        if offer.provider == provider and offer.instance == cloud.instance and offer.region in ("", cloud.region):
            return offer
    return None


def gpu_of(settings: Settings) -> Gpu | None:
    """The kind of GPU that each host or node has, where an offer or a node's label says it; None where none does."""
    offer = offer_of(settings)
    name = settings.pool.labels.get(GPU_LABEL) if offer is None else offer.gpu
    if name is None or not settings.engine.gpus:
        return None
    try:
        return find_gpu(name)
    except SizingError:
        return None  # the rule about offers says so
