"""What UpCloud says, by its HTTP API 1.3: read-only calls of https://developers.upcloud.com/1.3/.

Credentials and address are those that UpCloud's own tools read: UPCLOUD_TOKEN, or UPCLOUD_USERNAME and
UPCLOUD_PASSWORD; UPCLOUD_DEBUG_API_BASE_URL. Never run against the cloud itself here: the shapes are those that its
documentation and its Go SDK's tests show (tests/bootstrap/clouds/fixtures/upcloud/README.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from bootstrap.clouds.asking import DEADLINE, Api, UnansweredError, answered
from bootstrap.waits import Waits
from slipway.doctor.market import NO_VERSIONS, CloudAnswers, CloudWanted, Limit, ServerType
from slipway.doctor.types import NoAnswer
from slipway.units import MIB

BASE = "https://api.upcloud.com"
CENT = 100
"""prices are in hundredths of the account's currency: 2xCPU-4GB is 4.4642 an hour in the documented answer, and was
sold at 30 a month of 28 days; https://developers.upcloud.com/1.3/4-pricing"""
PAGE = 100
FIX = "Set UPCLOUD_TOKEN to an API token that is valid; https://hub.upcloud.com makes them"
NO_CREDENTIALS = NoAnswer(
    "neither UPCLOUD_TOKEN, nor UPCLOUD_USERNAME and UPCLOUD_PASSWORD, is set", FIX, verdict="off"
)
TWO_CREDENTIALS = NoAnswer(
    "both UPCLOUD_TOKEN and UPCLOUD_USERNAME are set, which UpCloud's tools refuse", "Unset one", verdict="off"
)


def ask(wanted: CloudWanted, environ: Mapping[str, str], waits: Waits) -> CloudAnswers:
    """Everything that `wanted` is held against. Nothing is made or changed."""
    opened = _client(environ)
    if isinstance(opened, NoAnswer):
        return CloudAnswers.none(opened)
    with opened:
        api = Api("UpCloud", opened, waits, refused=FIX)
        account = answered(lambda: _account(api))
        if isinstance(account, NoAnswer):
            return CloudAnswers.none(account)
        name, limits = account
        types = answered(lambda: _types(api))
        return CloudAnswers(
            account=name,
            zones=answered(lambda: tuple(str(zone["id"]) for zone in api.get("/1.3/zone")["zones"]["zone"])),
            types=types,
            stock=answered(lambda: _stock(api, wanted.zone)) if wanted.servers else {},
            image=answered(lambda: _image(api, wanted.image)),
            limits=answered(lambda: _limits(api, wanted, limits, types)) if wanted.servers else {},
            prices=answered(lambda: _prices(api, wanted.zone)),
            currency=answered(lambda: str(api.get(f"/1.3/account/details/{name}")["account"]["currency"])),
            versions=answered(lambda: _versions(api)) if wanted.version else NO_VERSIONS,
        )


def _client(environ: Mapping[str, str]) -> httpx.Client | NoAnswer:
    token, user = environ.get("UPCLOUD_TOKEN", ""), environ.get("UPCLOUD_USERNAME", "")
    password = environ.get("UPCLOUD_PASSWORD", "")
    if token and user:
        return TWO_CREDENTIALS
    if not token and not (user and password):
        return NO_CREDENTIALS
    return httpx.Client(
        base_url=environ.get("UPCLOUD_DEBUG_API_BASE_URL") or BASE,
        timeout=DEADLINE,
        headers={"Authorization": f"Bearer {token}"} if token else None,
        auth=None if token else (user, password),
    )


def _account(api: Api) -> tuple[str, dict[str, Any]]:
    account = api.get("/1.3/account")["account"]
    return str(account["username"]), dict(account["resource_limits"])


def _types(api: Api) -> dict[str, ServerType]:
    """Every plan. Those with GPUs have gpu_amount and gpu_model."""
    return {
        str(plan["name"]): ServerType(
            cores=int(plan["core_number"]),
            memory=int(plan["memory_amount"]) * MIB,
            gpus=int(plan.get("gpu_amount") or 0),
            gpu=str(plan.get("gpu_model") or ""),
        )
        for plan in api.get("/1.3/plan")["plans"]["plan"]
    }


def _stock(api: Api, zone: str) -> dict[str, int]:
    """How many of each GPU plan the zone can start now, as `upctl zone devices` asks. A zone without GPUs is absent."""
    plans = (api.get("/1.3/device/availability").get(zone) or {}).get("gpu_plans") or {}
    return {str(name): int(plan["amount"]) for name, plan in plans.items()}


def _versions(api: Api) -> tuple[str, ...]:
    """Of clusters, as `upctl kubernetes versions` asks: a list of {"id": "1.30", "version": "v1.30.0"}."""
    return tuple(str(one["version"]).removeprefix("v") for one in api.get("/1.3/kubernetes/versions"))


def _image(api: Api, image: str | None) -> str:
    """Title of the template; public ones and the account's own are in one list."""
    if image is None:
        raise UnansweredError(NoAnswer("no image is named", "Set slipway:upcloud.template", "off"))
    for template in api.get("/1.3/storage/template")["storages"]["storage"]:
        if template["uuid"] == image:
            return str(template["title"])
    what, fix = "no template has this UUID", "Set slipway:upcloud.template to one of `upctl storage list --template`"
    raise UnansweredError(NoAnswer(what, fix, "off"))


def _limits(
    api: Api, wanted: CloudWanted, most: Mapping[str, Any], types: Mapping[str, ServerType] | NoAnswer
) -> dict[str, Limit]:
    """The account's resource limits, and what its servers take of them. The limits of storage are in GiB: the table in
    the documentation says MiB, with 10240 of them as what an account begins with."""
    servers = _servers(api)
    known = {} if isinstance(types, NoAnswer) else types
    used = {
        "cores": float(sum(int(server["core_number"]) for server in servers)),
        "memory": sum(int(server["memory_amount"]) for server in servers) / 1024,
        "gpus": float(sum(known[server["plan"]].gpus for server in servers if server.get("plan") in known)),
    }
    tier = f"storage_{wanted.tier or 'maxiops'}"
    found = {
        "cores": ("cores", 1.0, ""),
        "memory": ("memory", 1024.0, "GiB"),
        "gpus": ("gpus", 1.0, ""),
        "disk": (tier, 1.0, "GiB"),
        "addresses": ("public_ipv4", 1.0, ""),
        "balancers": ("load_balancers", 1.0, ""),
    }
    return {
        name: Limit(float(most[key]) / factor, used.get(name), unit)
        for name, (key, factor, unit) in found.items()
        if most.get(key) is not None
    }


def _servers(api: Api) -> list[dict[str, Any]]:
    servers: list[dict[str, Any]] = []
    while True:
        page = api.get("/1.3/server", {"limit": str(PAGE), "offset": str(len(servers))})["servers"]["server"]
        servers += page
        if len(page) < PAGE:
            return servers


def _prices(api: Api, zone: str) -> dict[str, float]:
    for entry in api.get("/1.3/price")["prices"]["zone"]:
        if entry["name"] == zone:
            return {
                key.removeprefix("server_plan_"): float(price["price"]) / CENT / float(price["amount"])
                for key, price in entry.items()
                if key.startswith("server_plan_")
            }
    raise UnansweredError(NoAnswer(f"its price list has no zone {zone}", "Look the price up there"))
