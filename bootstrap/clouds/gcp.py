"""What Google Cloud says, by the REST interfaces of Compute Engine, GKE and Cloud Quotas: read-only calls.

Addresses are those of GOOGLE_COMPUTE_CUSTOM_ENDPOINT, GOOGLE_CONTAINER_CUSTOM_ENDPOINT and
GOOGLE_CLOUD_QUOTAS_CUSTOM_ENDPOINT, as Pulumi's provider reads them, where they are set. Never run against the cloud
itself here: the shapes are those of its documentation (tests/bootstrap/clouds/fixtures/gcp/README.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import httpx

from bootstrap.clouds.asking import DEADLINE, Api, UnansweredError, answered
from bootstrap.clouds.gcp_login import FIX, Login, login
from bootstrap.clouds.gcp_quotas import limits
from bootstrap.waits import Waits
from slipway.doctor.market import NO_VERSIONS, NO_ZONE, CloudAnswers, CloudWanted, ServerType
from slipway.doctor.types import NoAnswer
from slipway.units import MIB

ADDRESSES = {
    "COMPUTE": ("Compute Engine", "https://compute.googleapis.com/compute/v1/"),
    "CONTAINER": ("GKE", "https://container.googleapis.com/v1/"),
    "CLOUD_QUOTAS": ("Cloud Quotas", "https://cloudquotas.googleapis.com/v1/"),
}
"""https://cloud.google.com/compute/docs/reference/rest/v1, https://cloud.google.com/kubernetes-engine/docs/reference/rest,
https://cloud.google.com/docs/quotas/reference/rest"""
PAGE = "500"
NO_STOCK = NoAnswer(
    "Google says which types a zone has, and never how many of them are left",
    "Have another type or zone ready; a reservation is the only promise",
    "not asked",
)
NO_PRICES = NoAnswer(
    "Google sells cores, memory and GPUs apart, and lists no price of a type",
    "See https://cloud.google.com/compute/all-pricing",
    "not asked",
)


@dataclass(frozen=True)
class _Apis:
    compute: Api
    container: Api
    quotas: Api


def ask(wanted: CloudWanted, environ: Mapping[str, str], waits: Waits) -> CloudAnswers:
    """Everything that `wanted` is held against. Nothing is made or changed."""
    found = answered(lambda: login(environ, waits))
    if isinstance(found, NoAnswer):
        return CloudAnswers.none(found)
    with ExitStack() as stack:
        clients = {name: stack.enter_context(_client(name, wanted, environ, found)) for name in ADDRESSES}
        apis = _Apis(*(Api(ADDRESSES[name][0], client, waits, refused=FIX) for name, client in clients.items()))
        project = answered(lambda: _project(apis.compute, wanted.account))
        if isinstance(project, NoAnswer):
            return CloudAnswers.none(project)
        zones = answered(lambda: _zones(apis.compute, wanted))
        lacking = not isinstance(zones, NoAnswer) and wanted.zone not in zones
        return CloudAnswers(
            account=f"project {wanted.account}" + (f", as {found.who}" if found.who else ""),
            zones=zones,
            types=NO_ZONE if lacking else answered(lambda: _types(apis.compute, wanted)),
            stock=NO_STOCK,
            image=NO_ZONE if lacking and wanted.version else answered(lambda: _image(apis, wanted)),
            limits=answered(lambda: limits(apis.compute, apis.quotas, wanted, project)) if wanted.servers else {},
            prices=NO_PRICES,
            currency="USD",
            versions=_versions_asked(apis, wanted, lacking=lacking),
        )


def _client(name: str, wanted: CloudWanted, environ: Mapping[str, str], found: Login) -> httpx.Client:
    headers = {"Authorization": f"Bearer {found.token}"}
    if name == "CLOUD_QUOTAS" and not found.who:
        # Without it, a person's calls count for a project of gcloud's own, which has this interface not enabled. A
        # service account's count for its own, and it may lack the right to say another.
        headers["X-Goog-User-Project"] = wanted.account
    base = environ.get(f"GOOGLE_{name}_CUSTOM_ENDPOINT") or ADDRESSES[name][1]
    return httpx.Client(base_url=base, timeout=DEADLINE, headers=headers)


def _project(compute: Api, name: str) -> dict[str, Any]:
    try:
        return dict(compute.get(f"projects/{name}"))
    except UnansweredError as error:
        if not error.missing:
            raise
        fix = "Set slipway:gcp.project to one of `gcloud projects list`"
        raise UnansweredError(NoAnswer(f"there is no project {name}", fix, "off")) from None


def _listed(api: Api, path: str, **params: str) -> Iterator[dict[str, Any]]:
    """Every item of a list, page by page; one without any has no `items`."""
    more = ""
    while True:
        page = api.get(path, {"maxResults": PAGE, **params} | ({"pageToken": more} if more else {}))
        yield from page.get("items") or ()
        more = page.get("nextPageToken") or ""
        if not more:
            return


def _zones(compute: Api, wanted: CloudWanted) -> tuple[str, ...]:
    """Zones that are up: those of the wanted region, or every one where that has none."""
    up = [str(zone["name"]) for zone in _listed(compute, f"projects/{wanted.account}/zones") if zone["status"] == "UP"]
    return tuple(zone for zone in up if zone.rsplit("-", 1)[0] == wanted.region) or tuple(up)


def _types(compute: Api, wanted: CloudWanted) -> dict[str, ServerType]:
    """Of the types that the stack would take, those that the zone has. GPUs that are added to a type count as its own,
    where the zone has them and one machine takes so many."""
    zone = f"projects/{wanted.account}/zones/{wanted.zone}"
    names = (*wanted.instances, *wanted.others)
    kinds = {
        str(kind["name"]): _type(kind) for kind in _listed(compute, f"{zone}/machineTypes") if kind["name"] in names
    }
    chosen = kinds.get(wanted.instances[0]) if wanted.instances else None
    if chosen is not None and not chosen.gpus and wanted.gpu:
        try:
            most = int(compute.get(f"{zone}/acceleratorTypes/{wanted.gpu}")["maximumCardsPerInstance"])
        except UnansweredError as error:
            if not error.missing:
                raise
            most = 0
        added = ServerType(chosen.cores, chosen.memory, min(most, wanted.gpus), wanted.gpu)
        kinds[wanted.instances[0]] = added
    return kinds


def _type(kind: Mapping[str, Any]) -> ServerType:
    own = kind.get("accelerators") or ()
    return ServerType(
        cores=int(kind["guestCpus"]),
        memory=int(kind["memoryMb"]) * MIB,
        gpus=sum(int(gpu["guestAcceleratorCount"]) for gpu in own),
        gpu=", ".join(str(gpu["guestAcceleratorType"]) for gpu in own),
    )


def _image(apis: _Apis, wanted: CloudWanted) -> str:
    """Name of a server's image, or the version of a node's. One that is deprecated can still be used, unlike one that
    is obsolete: https://cloud.google.com/compute/docs/images/deprecate-custom."""
    if wanted.image is None:
        return ""
    if wanted.version:
        valid = _served(apis.container, wanted)["validNodeVersions"]
        if wanted.image in valid:
            return f"node version {wanted.image}"
        fix = "Set slipway:pool.image to one of `gcloud container get-server-config`"
        raise UnansweredError(NoAnswer("no node can be made with this version", fix, "off"))
    fix = "Set slipway:gcp.image to one of `gcloud compute images list --uri`, from projects/ on"
    try:
        found = apis.compute.get(wanted.image)
    except UnansweredError as error:
        if not error.missing:
            raise
        what = "there is no such image, or the account may not see it"
        raise UnansweredError(NoAnswer(what, fix, "off")) from None
    state = str((found.get("deprecated") or {}).get("state") or "ACTIVE")
    if state in ("OBSOLETE", "DELETED") or found["status"] != "READY":
        what = f"it is {state.lower()}" if state != "ACTIVE" else f"it is {str(found['status']).lower()}"
        raise UnansweredError(NoAnswer(f"{what}: no server can be made from it", fix, "off"))
    return str(found["name"]) + (", deprecated" if state == "DEPRECATED" else "")


def _versions_asked(apis: _Apis, wanted: CloudWanted, *, lacking: bool) -> tuple[str, ...] | NoAnswer:
    if not wanted.version:
        return NO_VERSIONS
    return NO_ZONE if lacking else answered(lambda: _versions(apis.container, wanted))


def _versions(container: Api, wanted: CloudWanted) -> tuple[str, ...]:
    """Versions of a control plane in the wanted release channel."""
    channels = {str(channel["channel"]): channel for channel in _served(container, wanted)["channels"]}
    return tuple(map(str, channels[wanted.channel]["validVersions"]))


def _served(container: Api, wanted: CloudWanted) -> dict[str, Any]:
    return dict(container.get(f"projects/{wanted.account}/locations/{wanted.zone}/serverConfig"))
