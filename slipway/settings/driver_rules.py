"""Rules about `driver`: what no host could be, or what nothing is known to plan with."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from slipway.errors import ReleaseError
from slipway.releases.sources import paragraph, trusted
from slipway.settings.finding import Finding
from slipway.settings.resolving import gpu_of, offer_of
from slipway.settings.sections import Settings

OF_GPUS = ("mig", "ecc", "power_limit", "sources", "key", "key_fingerprint")
"""what can be asked only of a host with GPUs"""
OF_SOURCES = ("sources", "key", "key_fingerprint")


def mode(settings: Settings) -> Iterator[Finding]:
    driver, gpus = settings.driver, settings.engine.gpus
    used = (("driver", "mode"), ("engine", "gpus"))
    if settings.kind == "node-pool" and "driver" in settings.model_fields_set:
        what = "this describes hosts, and kind is node-pool: its nodes get their driver inside of the cluster"
        yield Finding(("driver",), what, "Take the section out", (("kind",),))
        return
    if driver.mode == "none" and (settings.gpu is not None or gpus):
        what = "mode none is for hosts without GPUs, and " + (
            f"engine.gpus is {gpus}" if gpus else "slipway:gpu is set"
        )
        yield Finding(("driver", "mode"), what, "Write mode: pin or adopt, or gpus: 0", (("engine", "gpus"), ("gpu",)))
        return
    for field in OF_GPUS:
        if getattr(driver, field) in (None, ()):
            continue
        if settings.gpu is None and not gpus:
            fix = "Take it out, or say how many GPUs a host has: slipway:engine.gpus"
            yield Finding(("driver", field), "this is about GPUs, and the hosts have none", fix, used)
        elif driver.mode == "adopt" and field in OF_SOURCES:
            what = "mode adopt installs no driver, so that no source of one is read"
            yield Finding(("driver", field), what, "Take it out, or write mode: pin", used)


def sources(settings: Settings) -> Iterator[Finding]:
    driver, where = settings.driver, ("driver", "sources")
    signed = False
    for index, source in enumerate(driver.sources):
        try:
            signed |= not trusted(paragraph(source))
        except ReleaseError as error:
            yield Finding((*where, index), error.what, error.fix)
            return
    given = (("driver", "key"), ("driver", "key_fingerprint"))
    if driver.sources and signed and driver.key is None:
        fix = "Add key: what `gpg --armor --export FINGERPRINT` prints; or [trusted=yes], for an offline bundle"
        yield Finding(("driver", "key"), "the sources need the key that signs them", fix, (where, *given))
    if driver.key is not None and driver.key_fingerprint is None:
        fix = "Add key_fingerprint, as the archive's owner publishes it; `gpg --show-keys FILE` prints what the key has"
        what = "a key is believed by its fingerprint, and there is none"
        yield Finding(("driver", "key_fingerprint"), what, fix, given)
    for field in ("key", "key_fingerprint"):
        if getattr(driver, field) is not None and not driver.sources:
            what = "this is of sources of your own, and there are none: the release's have theirs in its lock"
            yield Finding(("driver", field), what, "Take it out, or add sources", (where,))
        elif driver.key is None and field == "key_fingerprint" and driver.key_fingerprint is not None and not signed:
            yield Finding(("driver", field), "this is the fingerprint of no key", "Add key, or take it out", given)


def cut(settings: Settings) -> Iterator[Finding]:
    """Slices are planned with: how many there are has to be known."""
    profile, engine, where = settings.driver.mig, settings.engine, ("driver", "mig")
    used = (("driver", "mode"), ("engine", "gpus"), ("gpu",), ("offers",))
    if profile is None or (settings.gpu is None and not engine.gpus):
        return
    if settings.gpu is not None:
        fix = "Take slipway:gpu out and write engine, proxy and hosts yourself, or take mig out"
        yield Finding(where, "advice for slipway:gpu counts with whole GPUs", fix, used)
        return
    gpu = gpu_of(settings)
    if gpu is None:
        what = f"which GPU the hosts have is not known, and so not how many slices of {profile} it gives"
        fix = (
            "Say what a host is as slipway:offers: provider ssh, instance, vcpus, memory, price, gpu and gpus"
            if settings.provider == "ssh"
            else "Name an instance that has GPUs"
        )
        yield Finding(where, what, fix, used)
    elif profile not in gpu.mig:
        what = f"{gpu.name} cannot be cut into {profile}" if gpu.mig else f"{gpu.name} cannot be cut"
        yield Finding(where, what, f"Write one of {', '.join(gpu.mig)}" if gpu.mig else "Take it out", used)
    elif engine.tensor_parallel > 1:
        what = f"a replica gets one slice of a GPU that is cut, and tensor_parallel is {engine.tensor_parallel}"
        yield Finding(("engine", "tensor_parallel"), what, "Write 1, or take slipway:driver.mig out", (where, *used))
    elif engine.replicas > engine.gpus * gpu.mig[profile].count:
        have = engine.gpus * gpu.mig[profile].count
        what = f"{engine.replicas} replicas need a slice each, and {engine.gpus} GPUs cut into {profile} give {have}"
        yield Finding(("engine", "replicas"), what, f"Write {have} or fewer, or take a smaller profile", (where, *used))


def counted(settings: Settings) -> Iterator[Finding]:
    """A host refuses to be planned with other GPUs than it has; an offer tells before."""
    offer, gpus = offer_of(settings), settings.engine.gpus
    if settings.gpu is not None or offer is None or offer.gpu is None or not gpus:
        return
    # Of a cloud's instance the cloud's own rules say when it has too few.
    if gpus < offer.gpus or (settings.provider == "ssh" and gpus > offer.gpus):
        what = f"gpus is {gpus}, and {offer.instance} has {offer.gpus} × {offer.gpu}"
        fix = f"Write {offer.gpus}; replicas and tensor_parallel say how many of them are used"
        yield Finding(("engine", "gpus"), what, fix, (("offers",), ("provider",)))


def power(settings: Settings) -> Iterator[Finding]:
    watts, gpu = settings.driver.power_limit, gpu_of(settings)
    if watts is None or gpu is None or gpu.power is None:
        return
    least, most = gpu.power
    if not least <= watts <= most:
        what = f"{gpu.name} takes a limit from {least} to {most} W, and this is {watts} W"
        yield Finding(("driver", "power_limit"), what, "Write one in that range, or leave it out", (("offers",),))


RULES: tuple[Callable[[Settings], Iterator[Finding]], ...] = (mode, sources, cut, counted, power)
