"""What a cloud says of itself and of an account, held against what a stack needs of it. The same for every cloud."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import date

from slipway.doctor.market import CloudAnswers, CloudWanted
from slipway.doctor.prices import judge_price
from slipway.doctor.types import Check, NoAnswer, judged
from slipway.hosting import UPCLOUD_TEMPLATES, boot_disk
from slipway.offers import offers
from slipway.plan_types import Plan
from slipway.settings import Settings
from slipway.settings.resolving import balanced, cloud_of, offer_of
from slipway.units import GIB

GB = 10**9


NAMES = {"upcloud": "UpCloud", "aws": "AWS", "gcp": "GCP", "azure": "Azure"}


def cloud_wanted(settings: Settings, plan: Plan, asked: tuple[str, ...], made: int) -> CloudWanted | None:
    """What the stack needs of its cloud, of which `made` servers are there; None where its provider is no cloud.

    `asked` are the types of servers that the stack file, or advice, would take, in order of preference.
    """
    section = cloud_of(settings)
    if section is None:
        return None
    chosen = section.instance or ""
    instances = tuple(dict.fromkeys(name for name in (chosen, *asked) if name))
    size = getattr(section, "disk", None)
    elsewhere = getattr(section, "cache", None)
    disk = (size or boot_disk(plan, weights_elsewhere=elsewhere is not None).gigabytes * GB) + (elsewhere or 0)
    servers = plan.cluster.pool.nodes if plan.cluster is not None else len(plan.hosts)
    image = getattr(section, "template", None) if settings.provider == "upcloud" else getattr(section, "image", None)
    if settings.provider == "upcloud" and plan.cluster is None and image is None:
        image = UPCLOUD_TEMPLATES.get(plan.host.os)
    in_front = balanced(settings)
    return CloudWanted(
        provider=settings.provider,
        zone=section.zone or "",
        region=section.region or "",
        instances=instances,
        others=_alike(settings, instances),
        servers=max(0, servers - made),
        image=image,
        disk=float(disk),
        addresses=max(0, servers - made),
        gpus=settings.engine.gpus,
        offer=offer_of(settings),
        tier=str(getattr(section, "disk_tier", "")),
        balancers=1 if in_front and not made else 0,
    )


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


def judge_cloud(wanted: CloudWanted, said: CloudAnswers, today: date) -> Iterator[Check]:
    """Every check of a cloud, in the order in which they would stop an `up`."""
    group = NAMES.get(wanted.provider, wanted.provider)
    if isinstance(said.account, NoAnswer):
        yield said.account.check(group, "credentials")
    else:
        yield Check(group, "credentials", "ok", f"they work: {said.account}")
    yield _zone(group, wanted, said)
    yield _type(group, wanted, said)
    if wanted.servers:
        yield _stock(group, wanted, said)
    yield _image(group, wanted, said)
    if wanted.servers:
        yield from _limits(group, wanted, said)
    yield from judge_price(group, wanted, said, today)


def _zone(group: str, wanted: CloudWanted, said: CloudAnswers) -> Check:
    if isinstance(said.zones, NoAnswer):
        return said.zones.check(group, "zone", wanted.zone)
    there = wanted.zone in said.zones
    found = "it is there" if there else f"it has {', '.join(sorted(said.zones)) or 'none'}"
    fix = f"Set the zone of slipway:{wanted.provider} to one of these"
    return judged(group, "zone", there, found=found, wanted=wanted.zone, fix=fix)


def _type(group: str, wanted: CloudWanted, said: CloudAnswers) -> Check:
    name = wanted.instances[0] if wanted.instances else "none"
    if isinstance(said.types, NoAnswer):
        return said.types.check(group, "server type", name)
    kind = said.types.get(name)
    if kind is None:
        others = [other for other in (*wanted.instances[1:], *wanted.others) if other in said.types]
        fix = f"Take {others[0]}" if others else "Take one that the cloud lists in this zone"
        return judged(group, "server type", False, found=f"{wanted.zone} has no such type", wanted=name, fix=fix)
    gpus = f", {kind.gpus} × {kind.gpu}" if kind.gpus else ""
    found = f"{kind.cores} vCPUs, {kind.memory / GIB:.0f} GiB{gpus}"
    enough = kind.gpus >= wanted.gpus
    asked = f"{name}, {wanted.gpus} GPUs" if wanted.gpus else name
    fix = f"Lower slipway:engine.gpus to {kind.gpus}, or take a larger type"
    return judged(group, "server type", enough, found=found, wanted=asked, fix=fix)


def _stock(group: str, wanted: CloudWanted, said: CloudAnswers) -> Check:
    asked = f"{wanted.servers} × {wanted.instances[0] if wanted.instances else 'none'}"
    if isinstance(said.stock, NoAnswer):
        return said.stock.check(group, "stock", asked)
    name = wanted.instances[0] if wanted.instances else ""
    if name not in said.stock and wanted.gpus == 0:
        return Check(group, "stock", "not asked", "the cloud counts servers with GPUs only", asked)
    left = said.stock.get(name, 0)
    found = f"{left} can be had in {wanted.zone}"
    fix = _plan_b(wanted, said.stock)
    return judged(group, "stock", left >= wanted.servers, found=found, wanted=asked, fix=fix)


def _plan_b(wanted: CloudWanted, stock: Mapping[str, int]) -> str:
    """The first type that there is enough of: of those that the stack would take, else of those alike."""
    section = f"slipway:{wanted.provider}"
    for name in wanted.instances[1:]:
        if stock.get(name, 0) >= wanted.servers:
            return f"Plan B: {name} has {stock[name]}; name it in {section}, or let doctor --pin do it"
    for name in wanted.others:
        if stock.get(name, 0) >= wanted.servers:
            return f"{name} has {stock[name]} and the same GPUs; name it in {section}"
    having = sorted(name for name, left in stock.items() if left >= wanted.servers)
    if having:
        return f"Nothing that this stack would take has; the zone has {', '.join(having)}"
    return "No type has as many here: try another zone, or fewer hosts"


def pin(wanted: CloudWanted, said: CloudAnswers) -> str | None:
    """The type to write into the stack file: the first of those that it would take that can be had, None where none
    can, or the cloud does not say."""
    if isinstance(said.stock, NoAnswer):
        return None
    return next((name for name in wanted.instances if said.stock.get(name, 0) >= max(1, wanted.servers)), None)


def _image(group: str, wanted: CloudWanted, said: CloudAnswers) -> Check:
    if wanted.image is None:
        return Check(group, "image", "not asked", "the cloud chooses it")
    if isinstance(said.image, NoAnswer):
        return said.image.check(group, "image", wanted.image)
    return Check(group, "image", "ok", said.image, wanted.image)


def _limits(group: str, wanted: CloudWanted, said: CloudAnswers) -> Iterator[Check]:
    if isinstance(said.limits, NoAnswer):
        yield said.limits.check(group, "quota")
        return
    for name, need in _needs(wanted, said).items():
        limit = said.limits.get(name)
        if limit is None or not need:
            continue
        left = limit.most - (limit.used or 0)
        of = f" of {limit.most:g} left" if limit.used is not None else " at most, in use not counted"
        unit = f" {limit.unit}" if limit.unit else ""
        yield judged(
            group,
            f"quota: {name}",
            need <= left,
            found=f"{max(0.0, left):g}{unit}{of}",
            wanted=f"{math.ceil(need):g}{unit} more",
            fix="Ask the cloud for a higher limit, or take fewer hosts",
        )


def _needs(wanted: CloudWanted, said: CloudAnswers) -> dict[str, float]:
    """By the names of CloudAnswers.limits, in the units of `Limit`: memory and disk in GiB."""
    kinds = said.types if not isinstance(said.types, NoAnswer) else {}
    kind = kinds.get(wanted.instances[0]) if wanted.instances else None
    cores = kind.cores if kind else (wanted.offer.vcpus if wanted.offer else 0)
    memory = kind.memory if kind else (wanted.offer.memory if wanted.offer else 0)
    gpus = kind.gpus if kind else wanted.gpus
    return {
        "servers": wanted.servers,
        "cores": cores * wanted.servers,
        "memory": memory / GIB * wanted.servers,
        "disk": wanted.disk / GIB * wanted.servers,
        "addresses": wanted.addresses,
        "gpus": gpus * wanted.servers,
        "balancers": wanted.balancers,
    }
