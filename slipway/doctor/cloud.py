"""What a cloud says of itself and of an account, held against what a stack needs of it. The same for every cloud."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import date

from slipway.doctor.market import CloudAnswers, CloudWanted
from slipway.doctor.needs import needs
from slipway.doctor.prices import judge_price
from slipway.doctor.types import Check, NoAnswer, judged
from slipway.units import GIB

NAMES = {"upcloud": "UpCloud", "aws": "AWS", "gcp": "GCP", "azure": "Azure"}


def judge_cloud(wanted: CloudWanted, said: CloudAnswers, today: date) -> Iterator[Check]:
    """Every check of a cloud, in the order in which they would stop an `up`."""
    group = NAMES.get(wanted.provider, wanted.provider)
    if isinstance(said.account, NoAnswer):
        yield said.account.check(group, "credentials")
    else:
        yield Check(group, "credentials", "ok", f"they work: {said.account}")
    yield _zone(group, wanted, said)
    yield _type(group, wanted, said)
    if wanted.version:
        yield _version(group, wanted, said)
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
    if kind is None or kind.barred:
        had = [other for other, its in said.types.items() if not its.barred]
        others = [other for other in (*wanted.instances[1:], *wanted.others) if other in had]
        fix = f"Take {others[0]}" if others else "Take one that the cloud lists in this zone"
        found = kind.barred if kind else f"{wanted.zone} has no such type"
        return judged(group, "server type", False, found=found, wanted=name, fix=fix)
    gpus = f", {kind.gpus} × {kind.gpu}" if kind.gpus else ""
    found = f"{kind.cores} vCPUs, {kind.memory / GIB:.0f} GiB{gpus}"
    enough = kind.gpus >= wanted.gpus
    asked = f"{name}, {wanted.gpus} GPUs" if wanted.gpus else name
    fix = f"Lower slipway:engine.gpus to {kind.gpus}, or take a larger type"
    return judged(group, "server type", enough, found=found, wanted=asked, fix=fix)


def _version(group: str, wanted: CloudWanted, said: CloudAnswers) -> Check:
    if isinstance(said.versions, NoAnswer):
        return said.versions.check(group, "Kubernetes", wanted.version)
    there = [version for version in said.versions if version == wanted.version or _within(version, wanted.version)]
    minors = dict.fromkeys(".".join(version.split(".")[:2]) for version in said.versions)
    found = there[0] if there else f"it has {', '.join(minors) or 'none'}"
    fix = "Set slipway:cluster.version to one of these"
    return judged(group, "Kubernetes", bool(there), found=found, wanted=wanted.version, fix=fix)


def _within(version: str, wanted: str) -> bool:
    """Whether a whole version is of a shorter one.

    >>> _within("1.33.4-gke.1036000", "1.33"), _within("1.33.4-gke.1036000", "1.33.4"), _within("1.330.1", "1.33")
    (True, True, False)
    """
    return version.startswith((f"{wanted}.", f"{wanted}-"))


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
    for name, need in needs(wanted, said).items():
        limit = said.limits.get(name)
        if limit is None or not need:
            continue
        if isinstance(limit, NoAnswer):
            yield limit.check(group, f"quota: {name}", f"{math.ceil(need):g} more")
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
