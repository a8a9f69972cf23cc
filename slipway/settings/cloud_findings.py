"""What rules say of every cloud's section, with the cloud's own words put in."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from slipway.offers import offers
from slipway.settings.finding import Finding, Loc
from slipway.settings.resolving import balanced, cloud_of, offer_of, settle_seconds
from slipway.settings.sections import Settings
from slipway.units import about_bytes, format_duration


def elsewhere(settings: Settings, name: str, cloud: str) -> Iterator[Finding]:
    """A section of a cloud that is not the provider."""
    if settings.provider != name and name in settings.model_fields_set:
        what = f"this describes servers at {cloud}, and the provider is {settings.provider}"
        yield Finding((name,), what, f"Take the section out, or write provider: {name}")


def unreachable(settings: Settings, name: str) -> Iterator[Finding]:
    """Servers that nobody could set up."""
    if settings.kind == "host" and not getattr(settings, name).ssh_from:
        what = "nobody may connect to SSH, so that no server could be set up"
        fix = "Add ssh_from: the addresses of whoever runs `pulumi up`, such as [192.0.2.7/32]"
        yield Finding((name, "ssh_from"), what, fix, (("provider",), ("kind",)))


def instance(settings: Settings, name: str, word: str) -> Iterator[Finding]:
    """The type of the servers, which `word` says in the cloud's language: there is one, it has the GPUs that the engine
    is given, and advice can judge it where it is asked."""
    section = cloud_of(settings)
    if section is None:
        return
    where = (name, section.INSTANCE)
    if section.instance is None and settings.gpu is None:
        fix = f"Add {section.INSTANCE}, or let it be chosen by slipway:gpu: auto, or names of GPUs"
        yield Finding(where, f"the provider {name} needs the {word} of its servers", fix, (("gpu",),))
        return
    if settings.gpu is not None and section.instance is not None:
        if section.instance not in {one.instance for one in (*settings.offers, *offers()) if one.provider == name}:
            what = f"no price list knows {word} {section.instance}, so that slipway:gpu could choose nothing for it"
            fix = "Add it to slipway:offers, or take slipway:gpu out"
            yield Finding(where, what, fix, (("gpu",), ("offers",)))
        return
    offer = offer_of(settings)
    if offer is not None and settings.engine.gpus > offer.gpus:
        what = f"gpus is {settings.engine.gpus}, and a server of {word} {offer.instance} has {offer.gpus or 'none'}"
        fix = f"Lower gpus, or use another slipway:{name}.{section.INSTANCE}"
        yield Finding(("engine", "gpus"), what, fix, (("engine", "gpus"), where))


def spot(settings: Settings, name: str) -> Iterator[Finding]:
    """More servers that may be taken away than there are."""
    count, of = settings.hosts.count, getattr(settings, name).spot
    if settings.kind == "host" and of > count:
        what = f"spot is {of}, and there are {count} servers"
        yield Finding((name, "spot"), what, f"Write {count} or fewer", (("hosts", "count"),))


def disks(
    settings: Settings, name: str, least: int, most: int, *, fields: tuple[str, ...] = ("disk", "cache")
) -> Iterator[Finding]:
    """Sizes of disks, in bytes, that the cloud does not make."""
    for field in fields:
        size = getattr(getattr(settings, name), field)
        if size is not None and not least <= size <= most:
            what = f"{about_bytes(size)} is no size of a disk there"
            yield Finding((name, field), what, f"Write a size from {about_bytes(least)} to {about_bytes(most)}")


def owned(settings: Settings, name: str, field: str, owners: Mapping[str, str]) -> Iterator[Finding]:
    """Arguments of a resource that Slipway cannot do without, and the setting that says each."""
    for argument in getattr(getattr(settings, name), field):
        if argument in owners:
            fix = f"Use {owners[argument]}" if owners[argument] else "Take it out"
            yield Finding((name, field, argument), f"{argument} is written by Slipway itself", fix)


def only_of(settings: Settings, name: str, kind: str, fields: Iterable[str]) -> Iterator[Finding]:
    """Settings that only stacks of `kind` have."""
    section: Any = getattr(settings, name)
    for field in fields:
        if settings.kind != kind and field in section.model_fields_set:
            what = f"this is for kind: {kind}, and kind is {settings.kind}"
            yield Finding((name, field), what, "Take it out", (("kind",),))


def private_network(settings: Settings, name: str, field: str, needed: int) -> Iterator[Finding]:
    """A network of the stack's own, which has to hold `needed` addresses."""
    network = ipaddress.ip_network(getattr(getattr(settings, name), field))
    if network.version != 4 or not network.is_private:
        yield Finding((name, field), f"{network} is no private IPv4 network", "Write one, such as 10.77.0.0/22")
    elif network.num_addresses < needed:
        what = f"{network} has {network.num_addresses} addresses, and this stack needs {needed}"
        used = (("hosts", "count"), ("pool", "nodes"))
        yield Finding((name, field), what, "Write a larger one, such as 10.77.0.0/20", used)


def settles(settings: Settings, name: str) -> Iterator[Finding]:
    """A drain that ends before the load balancer has seen it."""
    section = cloud_of(settings)
    if section is None or not balanced(settings) or settle_seconds(settings) >= section.SEEN:
        return
    what = (
        f"{format_duration(settle_seconds(settings))} is less than the {section.SEEN} s in which a load balancer at "
        f"{name} has surely seen that a host drains"
    )
    yield Finding(("drain", "settle"), what, f'Write "{section.SEEN}s" or more', ((name, "load_balancer"),))


def no_ipv6(loc: Loc, addresses: Iterable[str], why: str) -> Iterator[Finding]:
    """Addresses of IPv6, which do not go here: `why` says so."""
    for index, address in enumerate(addresses):
        if ipaddress.ip_network(address).version != 4:
            yield Finding((*loc, index), f"{address} is IPv6, and {why}", "Write IPv4 addresses", (("kind",),))


def silence(settings: Settings, most: int, what: str) -> Iterator[Finding]:
    """Requests that may be silent for longer than the cloud's network, which `what` tells of, keeps a connection:
    `most` seconds, of which ten are for the connection to the engine, and to spare."""
    proxy = settings.proxy
    if settings.kind == "host" and proxy.queue_timeout + proxy.stream_timeout + 10 > most:
        fix = f"Lower it, so that with queue_timeout it is {most - 10} s or less"
        yield Finding(("proxy", "stream_timeout"), f"{what} for {most} s", fix, (("proxy", "queue_timeout"),))
