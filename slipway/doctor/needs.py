"""What a stack needs of its cloud, and of the quotas of whoever pays, as figures."""

from __future__ import annotations

from slipway.doctor.market import CloudAnswers, CloudWanted
from slipway.doctor.types import Made, NoAnswer
from slipway.hosting import UPCLOUD_TEMPLATES, boot_disk
from slipway.offers import offers
from slipway.plan_types import Plan
from slipway.settings import Settings
from slipway.settings.azure import AzureSettings
from slipway.settings.clouds import CloudSection
from slipway.settings.resolving import balanced, cloud_of, offer_of
from slipway.units import GB, GIB

NODE_IMAGES = ("gcp", "azure")
"""clouds that can be asked for what `slipway:pool.image` names"""


def cloud_wanted(settings: Settings, plan: Plan, asked: tuple[str, ...], made: Made) -> CloudWanted | None:
    """What the stack needs of its cloud, where it is not there yet; None where its provider is no cloud.

    `asked` are the types of servers that the stack file, or advice, would take, in order of preference.
    """
    section = cloud_of(settings)
    if section is None:
        return None
    chosen = section.instance or ""
    instances = tuple(dict.fromkeys(name for name in (chosen, *asked) if name))
    pool = plan.cluster.pool if plan.cluster is not None else None
    size = settings.pool.disk if pool is not None else getattr(section, "disk", None)
    elsewhere = getattr(section, "cache", None)
    disk = (size or boot_disk(plan, weights_elsewhere=elsewhere is not None).gigabytes * GB) + (elsewhere or 0)
    missing = max(0, len(plan.hosts) - len(made.hosts)) if pool is None else 0 if made.pool else pool.nodes
    front = balanced(settings) and not made.hosts
    return CloudWanted(
        provider=settings.provider,
        zone=_zone(section),
        region=section.region or "",
        instances=instances,
        others=_alike(settings, instances),
        servers=missing,
        image=_image(settings, plan, section),
        disk=float(disk),
        addresses=_addresses(settings, missing, front=front) if pool is None else 0,
        gpus=settings.engine.gpus,
        offer=offer_of(settings),
        tier=str(getattr(section, "disk_tier", getattr(section, "disks", ""))),
        balancers=1 if front else 0,
        account=str(getattr(section, "project", None) or getattr(section, "subscription", None) or ""),
        gpu=str(getattr(section, "gpu", None) or "") if settings.engine.gpus else "",
        spread=_spread(section, len(plan.hosts)) if pool is None else (),
        # The last ones are spot.
        spot=min(missing, getattr(section, "spot", 0)) if pool is None else 0,
        version=plan.cluster.version or "" if plan.cluster is not None else "",
        channel=str(getattr(section, "release_channel", "")),
    )


def _addresses(settings: Settings, servers: int, *, front: bool) -> int:
    """Public ones, of which servers have one each, at Azure not behind a load balancer. That has one of its own there
    and at Google Cloud. Nodes have none at any cloud."""
    hidden = settings.provider == "azure" and balanced(settings)
    own = front and settings.provider in ("azure", "gcp")
    return (0 if hidden else servers) + (1 if own else 0)


def _zone(section: CloudSection) -> str:
    """The zone with its region's name in front, which Azure leaves out; the region where no zone is said."""
    zone, region = section.zone or "", section.region or ""
    return zone if zone.startswith(region) and zone else "-".join(filter(None, (region, zone)))


def _spread(section: CloudSection, servers: int) -> tuple[str, ...]:
    """Zones that Azure's servers are put into by turns."""
    if not isinstance(section, AzureSettings) or section.apart != "zones":
        return ()
    return tuple(sorted({section.domain(index) or "" for index in range(servers)}))


def _image(settings: Settings, plan: Plan, section: CloudSection) -> str | None:
    """What servers or nodes are born from, where the stack file or the release pins it."""
    if plan.cluster is not None:
        return settings.pool.image if settings.provider in NODE_IMAGES else None
    if settings.provider == "upcloud":
        return getattr(section, "template", None) or UPCLOUD_TEMPLATES.get(plan.host.os)
    return getattr(section, "image", None)


def _alike(settings: Settings, instances: tuple[str, ...]) -> tuple[str, ...]:
    """Types with as many GPUs of the same kind as the chosen one, or a CPU of the same size, in the same region."""
    chosen = offer_of(settings)
    if chosen is None:
        return ()
    found = [
        offer
        for offer in (*settings.offers, *offers())
        if offer.provider == chosen.provider
        and offer.region in ("", chosen.region)
        and offer.gpu == chosen.gpu
        and offer.gpus >= settings.engine.gpus
        and (offer.gpu is not None or (offer.vcpus >= chosen.vcpus and offer.memory >= chosen.memory))
        and offer.instance not in instances
    ]
    return tuple(dict.fromkeys(offer.instance for offer in sorted(found, key=lambda offer: offer.price)))


def needs(wanted: CloudWanted, said: CloudAnswers) -> dict[str, float]:
    """By the names of CloudAnswers.limits, in the units of `Limit`: memory and disk in GiB.

    Spot servers have quotas of their own; where the cloud says none, they count with the others.
    """
    kinds = said.types if not isinstance(said.types, NoAnswer) else {}
    kind = kinds.get(wanted.instances[0]) if wanted.instances else None
    cores = kind.cores if kind else (wanted.offer.vcpus if wanted.offer else 0)
    memory = kind.memory if kind else (wanted.offer.memory if wanted.offer else 0)
    gpus = kind.gpus if kind else wanted.gpus
    servers = wanted.servers
    apart = not isinstance(said.limits, NoAnswer) and bool({"spot cores", "spot gpus"} & set(said.limits))
    steady = servers - wanted.spot if apart else servers
    return {
        "servers": servers,
        "cores": cores * steady,
        "cores of the family": cores * steady,
        "cores in all regions": cores * servers,
        "spot cores": cores * wanted.spot,
        "memory": memory / GIB * servers,
        "disk": wanted.disk / GIB * servers,
        "addresses": wanted.addresses,
        "gpus": gpus * steady,
        "gpus in all regions": gpus * servers,
        "spot gpus": gpus * wanted.spot,
        "balancers": wanted.balancers,
    }
