"""What Azure says, by the REST interface of Azure Resource Manager and its list of retail prices: read-only calls.

Never run against the cloud itself here: the shapes are those of its published specifications
(tests/bootstrap/clouds/fixtures/azure/README.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx

from bootstrap.clouds.asking import DEADLINE, Api, UnansweredError, answered
from bootstrap.clouds.azure_login import CLOUDS, FIX, Login, login
from bootstrap.waits import Waits
from slipway.doctor.market import NO_VERSIONS, NO_ZONE, CloudAnswers, CloudWanted, Limit, ServerType
from slipway.doctor.types import NoAnswer
from slipway.units import GIB

PRICES = "https://prices.azure.com"
"""asked without credentials https://learn.microsoft.com/en-us/rest/api/cost-management/retail-prices/azure-retail-prices"""
VERSIONS = {
    "subscriptions": "2022-12-01",
    "skus": "2021-07-01",
    "compute": "2024-07-01",
    "galleries": "2024-03-03",
    "network": "2024-05-01",
    "containerservice": "2025-05-01",
}
"""of each interface https://github.com/Azure/azure-rest-api-specs"""
NO_STOCK = NoAnswer(
    "Azure says which sizes a subscription may have, and never how many of them are left",
    "Have another size or region ready; a capacity reservation is the only promise",
    "not asked",
)
NO_PRICES = NoAnswer("its list of retail prices is of the public cloud alone", "See its portal", "not asked")


def ask(wanted: CloudWanted, environ: Mapping[str, str], waits: Waits) -> CloudAnswers:
    """Everything that `wanted` is held against. Nothing is made or changed."""
    found = answered(lambda: login(environ, wanted.account, waits))
    if isinstance(found, NoAnswer):
        return CloudAnswers.none(found)
    headers = {"Authorization": f"Bearer {found.token}"}
    with (
        httpx.Client(base_url=found.cloud.manager, timeout=DEADLINE, headers=headers) as opened,
        httpx.Client(base_url=PRICES, timeout=DEADLINE) as shop,
    ):
        api = Api("Azure", opened, waits, refused=FIX)
        account = answered(lambda: _account(api, wanted.account, found))
        if isinstance(account, NoAnswer):
            return CloudAnswers.none(account)
        zones = answered(lambda: _zones(api, wanted))
        if isinstance(zones, NoAnswer) and zones.verdict == "off":
            return replace(CloudAnswers.none(NO_ZONE, NO_ZONE), account=account, zones=zones)
        sizes = answered(lambda: _sizes(api, wanted))
        public = found.cloud == CLOUDS["public"]
        return CloudAnswers(
            account=account,
            zones=zones,
            types=sizes if isinstance(sizes, NoAnswer) else {name: _type(size, wanted) for name, size in sizes.items()},
            stock=NO_STOCK,
            image=answered(lambda: _image(api, wanted)),
            limits=_limits(api, wanted, {} if isinstance(sizes, NoAnswer) else sizes) if wanted.servers else {},
            prices=answered(lambda: _prices(Api("Azure's price list", shop, waits, refused=""), wanted))
            if public
            else NO_PRICES,
            currency="USD",
            versions=answered(lambda: _versions(api, wanted)) if wanted.version else NO_VERSIONS,
        )


def _listed(api: Api, path: str, interface: str, **params: str) -> Iterator[dict[str, Any]]:
    """Every item of a list, page by page. Of the link to the next page nothing but path and query is taken: the token
    goes to nobody else."""
    asked = {"api-version": VERSIONS[interface], **params}
    while True:
        page = api.get(path, asked)
        yield from page["value"]
        more = urlsplit(page.get("nextLink") or "")
        if not more.query:
            return
        path, asked = more.path, dict(parse_qsl(more.query))


def _account(api: Api, subscription: str, found: Login) -> str:
    fix = "Set slipway:azure.subscription to one of `az account list`"
    try:
        said = api.get(f"/subscriptions/{subscription}", {"api-version": VERSIONS["subscriptions"]})
    except UnansweredError as error:
        if not error.missing:
            raise
        what = "there is no such subscription, or these credentials may not see it"
        raise UnansweredError(NoAnswer(what, fix, "off")) from None
    if said["state"] not in ("Enabled", "PastDue"):
        raise UnansweredError(NoAnswer(f"the subscription is {str(said['state']).lower()}", fix, "off"))
    return f"subscription {said['displayName']}" + (f", as {found.who}" if found.who else "")


def _zones(api: Api, wanted: CloudWanted) -> tuple[str, ...]:
    """The wanted region, and its zones by names with the region in front."""
    for place in _listed(api, f"/subscriptions/{wanted.account}/locations", "subscriptions"):
        if place["name"] == wanted.region:
            zones = (str(zone["logicalZone"]) for zone in place.get("availabilityZoneMappings") or ())
            return wanted.region, *(f"{wanted.region}-{zone}" for zone in sorted(zones))
    fix = "Set slipway:azure.location to one of `az account list-locations`"
    raise UnansweredError(NoAnswer("the subscription has no such region", fix, "off"))


def _sizes(api: Api, wanted: CloudWanted) -> dict[str, dict[str, Any]]:
    """Of the sizes that the stack would take, those that the region has."""
    path, names = (
        f"/subscriptions/{wanted.account}/providers/Microsoft.Compute/skus",
        (*wanted.instances, *wanted.others),
    )
    found = {}
    for sku in _listed(api, path, "skus", **{"$filter": f"location eq '{wanted.region}'"}):
        if sku["resourceType"] == "virtualMachines" and sku["name"] in names:
            found[str(sku["name"])] = sku
    return found


def _wanted_zones(wanted: CloudWanted) -> tuple[str, ...]:
    """Some of 1, 2 and 3; none where Azure chooses."""
    zone = wanted.zone.removeprefix(wanted.region).removeprefix("-")
    return (zone,) if zone else wanted.spread


def _type(sku: Mapping[str, Any], wanted: CloudWanted) -> ServerType:
    can = {str(item["name"]): str(item["value"]) for item in sku["capabilities"]}
    gpus = int(can.get("GPUs", 0))
    return ServerType(
        cores=int(can["vCPUs"]),
        memory=round(float(can["MemoryGB"]) * GIB),
        gpus=gpus,
        gpu="GPU" if gpus else "",
        barred=_barred(sku, _wanted_zones(wanted)),
    )


def _barred(sku: Mapping[str, Any], wanted: Sequence[str]) -> str:
    """Why the subscription may not have this size in the region, or in the zones that are wanted."""
    there = {str(zone) for place in sku["locationInfo"] for zone in place.get("zones") or ()}
    lacking = [zone for zone in wanted if zone not in there]
    if lacking:
        return f"zone {', '.join(lacking)} of the region has none"
    for item in sku.get("restrictions") or ():
        zones = (item.get("restrictionInfo") or {}).get("zones") or ()
        if item["type"] == "Location" or (item["type"] == "Zone" and set(wanted) & set(map(str, zones))):
            return f"it is not for this subscription: {item.get('reasonCode') or 'no reason is given'}"
    return ""


def _image(api: Api, wanted: CloudWanted) -> str:
    """Name of a server's image, or the version of a node's, which is in a snapshot."""
    if wanted.image is None:
        return ""
    path, interface = _image_path(wanted.image, wanted)
    try:
        found = api.get(path, {"api-version": VERSIONS[interface]})
    except UnansweredError as error:
        if not error.missing:
            raise
        what = "the region has no such image, or these credentials may not see it"
        fix = f"Set slipway:{'pool' if wanted.version else 'azure'}.image to one that is there"
        raise UnansweredError(NoAnswer(what, fix, "off")) from None
    properties = found["properties"]
    state = str((properties.get("imageDeprecationStatus") or {}).get("imageState") or "Active")
    if state == "Deprecated":
        what = "it is deprecated: no server can be made from it"
        raise UnansweredError(NoAnswer(what, "Set slipway:azure.image to a newer version", "off"))
    version = f", node version {properties['nodeImageVersion']}" if wanted.version else ""
    return f"{found['name']}{version}" + (", to be deprecated" if state == "ScheduledForDeprecation" else "")


def _image_path(image: str, wanted: CloudWanted) -> tuple[str, str]:
    """Where an image is, and the interface that has it: publisher:offer:sku:version, or the id of a resource."""
    if image.startswith("/"):
        return image, "containerservice" if wanted.version else "galleries" if "/galleries/" in image else "compute"
    publisher, offer, sku, version = image.split(":")
    place = f"/subscriptions/{wanted.account}/providers/Microsoft.Compute/locations/{wanted.region}"
    return (
        f"{place}/publishers/{publisher}/artifacttypes/vmimage/offers/{offer}/skus/{sku}/versions/{version}",
        "compute",
    )


def _limits(api: Api, wanted: CloudWanted, sizes: Mapping[str, Mapping[str, Any]]) -> dict[str, Limit | NoAnswer]:
    """By the names of `slipway.doctor.needs.needs`: cores of the region, of the family and of spot servers; addresses
    and load balancers."""
    chosen = sizes.get(wanted.instances[0]) if wanted.instances else None
    family = _plain(str(chosen["family"])) if chosen is not None else ""
    compute = {"servers": "virtualmachines", "cores": "cores", "cores of the family": family}
    if wanted.spot:
        compute["spot cores"] = "lowprioritycores"
    network = {"addresses": "standardskupublicipaddresses", "balancers": "standardskuloadbalancers"}
    return _used(api, wanted, "Compute", compute) | _used(api, wanted, "Network", network)


def _used(api: Api, wanted: CloudWanted, provider: str, names: Mapping[str, str]) -> dict[str, Limit | NoAnswer]:
    """Quotas of a provider in the region, with what is in use."""
    path = f"/subscriptions/{wanted.account}/providers/Microsoft.{provider}/locations/{wanted.region}/usages"

    def asked() -> dict[str, Limit]:
        return {
            _plain(str(item["name"]["value"])): Limit(float(item["limit"]), float(item["currentValue"]))
            for item in _listed(api, path, provider.lower())
        }

    said = answered(asked)
    if isinstance(said, NoAnswer):
        return dict.fromkeys(names, said)
    # A limit of -1 is none.
    return {name: said[key] for name, key in names.items() if key in said and said[key].most >= 0}


def _plain(name: str) -> str:
    """A family by one spelling: lists of sizes have standardNCASv3_T4Family, quotas have Standard NCASv3_T4 Family."""
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _versions(api: Api, wanted: CloudWanted) -> tuple[str, ...]:
    """Whole versions of a cluster that anybody can make, the newest first: no previews, none for long term support
    alone."""
    place = f"/subscriptions/{wanted.account}/providers/Microsoft.ContainerService/locations/{wanted.region}"
    said = api.get(f"{place}/kubernetesVersions", {"api-version": VERSIONS["containerservice"]})["values"]
    open_to_all = (
        one for one in said if not one.get("isPreview") and "KubernetesOfficial" in one["capabilities"]["supportPlan"]
    )
    versions = [str(version) for one in open_to_all for version in one["patchVersions"]]
    return tuple(sorted(versions, key=lambda version: [int(part) for part in version.split(".")], reverse=True))


def _prices(api: Api, wanted: CloudWanted) -> dict[str, float]:
    """An hour of each size with Linux, paid as it is used."""
    size = wanted.instances[0] if wanted.instances else ""
    criteria = {
        "serviceName": "Virtual Machines",
        "armRegionName": wanted.region,
        "armSkuName": size,
        "priceType": "Consumption",
    }
    asked = {"$filter": " and ".join(f"{name} eq '{value}'" for name, value in criteria.items())}
    found = {
        float(item["retailPrice"])
        for item in api.get("/api/retail/prices", asked)["Items"]
        if item["unitOfMeasure"] == "1 Hour"
        and not any(word in f"{item['productName']} {item['skuName']}" for word in ("Windows", "Spot", "Low Priority"))
        and "Cloud Services" not in item["productName"]
    }
    if len(found) > 1:
        what = f"its price list has {len(found)} prices of {size} in {wanted.region}"
        raise UnansweredError(NoAnswer(what, "Look it up there"))
    return dict.fromkeys((size,), found.pop()) if found else {}
