"""The calls that doctor makes at Azure, over HTTP to a stub that has answers of the documented shape."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from functools import partial
from typing import Any
from urllib.parse import parse_qs, unquote_plus

import pytest

from bootstrap.clouds import azure, azure_login
from bootstrap.clouds.azure_login import AzureCloud
from bootstrap.waits import Waits
from slipway.doctor.cloud import judge_cloud
from slipway.doctor.market import CloudWanted
from slipway.doctor.types import Check, NoAnswer
from slipway.offers import Offer
from slipway.units import GIB
from tests.bootstrap.clouds.stub_api import Reply, StubApi, recorded, serve
from tests.bootstrap.conftest import FakeClock

pytestmark = pytest.mark.net

fixture = partial(recorded, "azure")
SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"
ACCOUNT = f"/subscriptions/{SUBSCRIPTION}"
COMPUTE = f"{ACCOUNT}/providers/Microsoft.Compute"
USAGES = f"{COMPUTE}/locations/swedencentral/usages"
NETWORK = f"{ACCOUNT}/providers/Microsoft.Network/locations/swedencentral/usages"
IMAGE = (
    f"{COMPUTE}/locations/swedencentral/publishers/Canonical/artifacttypes/vmimage/offers/ubuntu-24_04-lts/skus/server/"
    "versions/24.04.202511100"
)
SNAPSHOT = f"{ACCOUNT}/resourceGroups/rg/providers/Microsoft.ContainerService/snapshots/gpu-nodes"
PATHS = {
    "/t/oauth2/v2.0/token": "token",
    ACCOUNT: "subscription",
    f"{ACCOUNT}/locations": "locations",
    f"{COMPUTE}/skus": "skus",
    USAGES: "usages",
    NETWORK: "network-usages",
    IMAGE: "image",
    SNAPSHOT: "snapshot",
    f"{ACCOUNT}/providers/Microsoft.ContainerService/locations/swedencentral/kubernetesVersions": "kubernetes-versions",
    "/api/retail/prices": "prices",
}
SECRET, TOKEN = "not-a-real-secret", "eyJ0.not-a-real-one"
PRINCIPAL = {"ARM_CLIENT_ID": "c", "ARM_TENANT_ID": "t", "ARM_CLIENT_SECRET": SECRET}
WANTED = CloudWanted(
    provider="azure",
    zone="swedencentral-1",
    region="swedencentral",
    instances=("Standard_NC40ads_H100_v5",),
    others=("Standard_NC80adis_H100_v5",),
    servers=2,
    image="Canonical:ubuntu-24_04-lts:server:24.04.202511100",
    disk=200 * GIB,
    addresses=2,
    gpus=1,
    offer=Offer(
        provider="azure",
        instance="Standard_NC40ads_H100_v5",
        region="swedencentral",
        currency="USD",
        gpu="H100-NVL",
        gpus=1,
        vcpus=40,
        memory=320 * GIB,
        price=6.98,
        source="a list",
        date="2026-11",
    ),
    balancers=1,
    account=SUBSCRIPTION,
)
POOL = replace(WANTED, image=SNAPSHOT, addresses=0, balancers=0, version="1.33")
T4 = replace(WANTED, instances=("Standard_NC16as_T4_v3",), others=(), offer=None)
TODAY = date(2026, 12, 1)


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[StubApi]:
    with serve({path: fixture(name) for path, name in PATHS.items()}) as made:
        monkeypatch.setitem(azure_login.CLOUDS, "public", AzureCloud(made.url, made.url))
        monkeypatch.setattr(azure, "PRICES", made.url)
        yield made


def checks(waits: Waits, wanted: CloudWanted = WANTED) -> dict[str, Check]:
    return {check.name: check for check in judge_cloud(wanted, azure.ask(wanted, PRINCIPAL, waits), TODAY)}


def test_a_subscription_with_everything(api: StubApi, waits: Waits) -> None:
    found = checks(waits)
    assert {name: check.verdict for name, check in found.items()} == {
        "credentials": "ok",
        "zone": "ok",
        "server type": "ok",
        "stock": "not asked",
        "image": "ok",
        "quota: servers": "ok",
        "quota: cores": "ok",
        "quota: cores of the family": "ok",
        "quota: addresses": "ok",
        "quota: balancers": "ok",
        "price list": "ok",
        "price": "ok",
    }
    assert found["credentials"].found == "they work: subscription models, as c"
    assert found["server type"].found == "40 vCPUs, 320 GiB, 1 × GPU"
    assert found["image"].found == "24.04.202511100"
    assert (found["quota: cores of the family"].found, found["quota: cores"].found) == (
        "80 of 80 left",
        "96 of 100 left",
    )
    assert found["quota: addresses"].found == "17 of 20 left"
    assert found["price"].found == "6.98 USD an hour"


def test_it_only_reads_and_secrets_go_into_the_form_and_one_header(api: StubApi, waits: Waits) -> None:
    found = checks(waits)
    assert [line for line in api.asked if not line.startswith("GET")] == ["POST /t/oauth2/v2.0/token"]
    (form,) = map(parse_qs, api.forms)
    assert form["client_secret"] == [SECRET]
    assert (form["grant_type"], form["scope"]) == (["client_credentials"], [f"{api.url}/.default"])
    by_path = dict(zip(api.asked, api.headers, strict=True))
    asked = [line for line in api.asked if "/subscriptions/" in line]
    assert {by_path[line]["authorization"] for line in asked} == {f"Bearer {TOKEN}"}
    # The price list is public, and somebody else's address.
    (shop,) = [line for line in api.asked if "retail" in line]
    assert "authorization" not in by_path[shop]
    assert "armSkuName eq 'Standard_NC40ads_H100_v5'" in unquote_plus(shop)
    assert all("api-version=" in line for line in asked)
    for secret in (SECRET, TOKEN):
        assert not any(secret in line for line in api.asked)
        assert secret not in str(found)


@pytest.mark.parametrize(
    ("zone", "size", "verdict", "said"),
    [
        ("-1", "NC40ads_H100_v5", "ok", "40 vCPUs"),
        ("", "NC40ads_H100_v5", "ok", "40 vCPUs"),
        ("-2", "NC40ads_H100_v5", "off", "zone 2 of the region has none"),
        ("-1", "NC16as_T4_v3", "ok", "16 vCPUs"),
        ("-2", "NC16as_T4_v3", "off", "it is not for this subscription: NotAvailableForSubscription"),
        ("", "NC16as_T4_v3", "ok", "16 vCPUs"),
        ("-3", "NC24ads_A100_v4", "off", "it is not for this subscription: NotAvailableForSubscription"),
        ("", "NC999_v9", "off", "swedencentral has no such type"),
    ],
)
def test_sizes(zone: str, size: str, verdict: str, said: str, api: StubApi, waits: Waits) -> None:
    wanted = replace(WANTED, zone=f"swedencentral{zone}", instances=(f"Standard_{size}",), others=(), offer=None)
    found = checks(waits, wanted)["server type"]
    assert (found.verdict, found.found.startswith(said)) == (verdict, True)


def test_servers_that_are_spread_over_zones(api: StubApi, waits: Waits) -> None:
    spread = replace(WANTED, zone="swedencentral", spread=("1", "2", "3"))
    assert checks(waits, spread)["server type"].found == "zone 2 of the region has none"
    assert checks(waits, replace(spread, spread=("1", "3")))["server type"].verdict == "ok"


def test_plan_b_is_a_size_that_the_account_may_have(api: StubApi, waits: Waits) -> None:
    names = tuple(f"Standard_{name}" for name in ("NC24ads_A100_v4", "NC16as_T4_v3", "NC40ads_H100_v5"))
    wanted = replace(WANTED, zone="swedencentral-2", instances=names, others=(), offer=None)
    assert checks(waits, wanted)["server type"].fix == "Take one that the cloud lists in this zone"
    assert checks(waits, replace(wanted, zone="swedencentral-3"))["server type"].fix == f"Take {names[2]}"


def test_a_region_that_is_not_there(api: StubApi, waits: Waits) -> None:
    found = checks(waits, replace(WANTED, zone="atlantis", region="atlantis"))
    assert (found["zone"].verdict, found["zone"].found) == ("off", "the subscription has no such region")
    assert {found[name].found for name in ("server type", "image", "quota")} == {"not before the zone is right"}
    assert not any("skus" in line for line in api.asked)


def test_a_region_without_zones(api: StubApi, waits: Waits) -> None:
    found = checks(waits, replace(WANTED, zone="northcentralus-1", region="northcentralus"))["zone"]
    assert (found.verdict, found.found) == ("off", "it has northcentralus")


def test_a_family_by_another_spelling(api: StubApi, waits: Waits) -> None:
    found = checks(waits, T4)["quota: cores of the family"]
    assert (found.verdict, found.found, found.wanted) == ("off", "16 of 16 left", "32 more")


def test_spot_servers(api: StubApi, waits: Waits) -> None:
    found = checks(waits, replace(WANTED, servers=3, spot=2))
    assert (found["quota: cores"].wanted, found["quota: cores"].verdict) == ("40 more", "ok")
    assert (found["quota: spot cores"].wanted, found["quota: spot cores"].verdict) == ("80 more", "off")


def test_a_limit_that_is_none(api: StubApi, waits: Waits) -> None:
    body = fixture("usages").body
    body["value"][1]["limit"] = -1
    api.answer(USAGES, Reply(body))
    found = checks(waits)
    assert ("quota: cores" in found, found["quota: servers"].verdict) == (False, "ok")


def test_a_node_pool(api: StubApi, waits: Waits) -> None:
    found = checks(waits, POOL)
    assert (found["Kubernetes"].verdict, found["Kubernetes"].found) == ("ok", "1.33.5")
    assert found["image"].found == "gpu-nodes, node version AKSUbuntu-2204gen2containerd-202511.07.0"
    assert not {"quota: addresses", "quota: balancers"} & set(found)


@pytest.mark.parametrize(
    ("version", "verdict", "said"),
    [("1.33.3", "ok", "1.33.3"), ("1.35", "off", "it has 1.34, 1.33"), ("1.30", "off", "it has 1.34, 1.33")],
)
def test_previews_and_old_versions_are_not_for_all(
    version: str, verdict: str, said: str, api: StubApi, waits: Waits
) -> None:
    found = checks(waits, replace(POOL, version=version))["Kubernetes"]
    assert (found.verdict, found.found) == (verdict, said)


@pytest.mark.parametrize(
    ("image", "path", "interface"),
    [
        ("/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/images/i", "", "compute"),
        (
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/galleries/g/images/i/versions/1.0.0",
            "",
            "galleries",
        ),
        (WANTED.image, IMAGE, "compute"),
    ],
)
def test_where_images_are(image: str, path: str, interface: str, api: StubApi, waits: Waits) -> None:
    api.answer(path or image, Reply({"name": "i", "properties": {}}))
    found = checks(waits, replace(WANTED, image=image))["image"]
    assert (found.verdict, found.found) == ("ok", "i")
    assert f"GET {path or image}?api-version={azure.VERSIONS[interface]}" in api.asked


@pytest.mark.parametrize(
    ("state", "verdict", "said"),
    [
        ("ScheduledForDeprecation", "ok", "24.04.202511100, to be deprecated"),
        ("Deprecated", "off", "it is deprecated: no server can be made from it"),
    ],
)
def test_images_that_go(state: str, verdict: str, said: str, api: StubApi, waits: Waits) -> None:
    body = fixture("image").body
    body["properties"]["imageDeprecationStatus"] = {"imageState": state}
    api.answer(IMAGE, Reply(body))
    found = checks(waits)["image"]
    assert (found.verdict, found.found) == (verdict, said)


def test_an_image_that_is_gone(api: StubApi, waits: Waits) -> None:
    found = checks(waits, replace(WANTED, image="Canonical:ubuntu-24_04-lts:server:24.04.201901010"))["image"]
    assert (found.verdict, found.found.startswith("the region has no such image")) == ("off", True)


def test_prices(api: StubApi, waits: Waits) -> None:
    body = fixture("prices").body
    body["Items"][1]["retailPrice"] = 9.0
    api.answer("/api/retail/prices", Reply(body))
    assert checks(waits)["price"].cost == "+2949 USD a month"
    body["Items"].append(body["Items"][1] | {"retailPrice": 9.5})
    assert "has 2 prices" in checks(waits)["price"].found
    api.answer("/api/retail/prices", Reply(body | {"Items": []}))
    assert checks(waits)["price"].verdict == "no answer"


def test_every_page_is_read_and_the_token_follows_no_link(api: StubApi, waits: Waits) -> None:
    items = fixture("skus").body["value"]
    link = f"https://elsewhere.example{COMPUTE}/skus?api-version=2021-07-01&%24skiptoken=a%2Fb"
    api.answer(f"{COMPUTE}/skus", Reply({"value": items[1:], "nextLink": link}), Reply({"value": items[:1]}))
    assert checks(waits)["server type"].verdict == "ok"
    assert f"GET {COMPUTE}/skus?api-version=2021-07-01&%24skiptoken=a%2Fb" in api.asked


@pytest.mark.parametrize(
    ("reply", "verdict", "said"),
    [
        (fixture("error-401", 401), "off", "Azure refuses the credentials: The access token expiry"),
        (fixture("error-404", 404), "off", "there is no such subscription"),
        (fixture("error-403", 403), "no answer", f"the credentials may not ask {ACCOUNT}: The client 'c'"),
        (Reply({}, 500), "no answer", f"Azure answered {ACCOUNT} with HTTP 500"),
        (Reply("<html>proxy</html>"), "no answer", f"Azure answered {ACCOUNT} with something"),
        (Reply([]), "no answer", "what it answered is not what is documented"),
        (Reply(fixture("subscription").body | {"state": "Disabled"}), "off", "the subscription is disabled"),
    ],
)
def test_a_subscription_that_does_not_answer(reply: Reply, verdict: str, said: str, api: StubApi, waits: Waits) -> None:
    api.answer(ACCOUNT, reply)
    found = checks(waits)
    assert (found["credentials"].verdict, found["credentials"].found.startswith(said)) == (verdict, True)
    assert len(api.asked) == 2
    assert found["zone"].verdict == "not asked"


def test_a_permission_that_is_missing(api: StubApi, waits: Waits) -> None:
    api.answer(f"{COMPUTE}/skus", fixture("error-403", 403))
    api.answer(NETWORK, fixture("error-403", 403))
    found = checks(waits)
    assert {found[name].verdict for name in ("server type", "quota: addresses", "quota: balancers")} == {"no answer"}
    assert "'Microsoft.Compute/skus/read'" in found["server type"].found
    assert (found["quota: cores"].verdict, found["zone"].verdict) == ("ok", "ok")


def test_it_comes_back_after_the_pause_that_it_was_asked_for(api: StubApi, waits: Waits, clock: FakeClock) -> None:
    api.answer(USAGES, Reply({}, 429, {"Retry-After": "7"}), fixture("usages"))
    assert checks(waits)["quota: cores"].verdict == "ok"
    assert clock.slept == [7.0]


def test_no_answer_in_time(api: StubApi, waits: Waits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(azure, "DEADLINE", 0.2)
    api.answer(f"{ACCOUNT}/locations", Reply("", 0))
    found = checks(waits)["zone"]
    assert (found.verdict, "did not answer within" in found.found) == ("no answer", True)


@pytest.mark.parametrize("body", [{"value": [{"name": "x"}]}, {"value": 7}, [], {"values": []}])
def test_answers_of_another_shape(body: Any, api: StubApi, waits: Waits) -> None:
    api.answer(f"{COMPUTE}/skus", Reply(body))
    api.answer(USAGES, Reply(body))
    found = checks(waits)
    assert {found[name].verdict for name in ("server type", "quota: cores")} == {"no answer"}
    assert found["quota: addresses"].verdict == "ok"


def test_prices_of_another_cloud_are_not_listed(api: StubApi, waits: Waits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(azure_login.CLOUDS, "china", AzureCloud(f"{api.url}", f"{api.url}/"))
    said = azure.ask(WANTED, PRINCIPAL | {"ARM_ENVIRONMENT": "china"}, waits)
    assert (said.prices, said.zones) == (azure.NO_PRICES, ("swedencentral", *(f"swedencentral-{n}" for n in "123")))


def test_nobody_there(waits: Waits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(azure_login.CLOUDS, "public", AzureCloud("http://127.0.0.1:9", "http://127.0.0.1:9"))
    said = azure.ask(WANTED, PRINCIPAL, waits)
    assert isinstance(said.account, NoAnswer)
    assert (said.account.verdict, "is not reached" in said.account.why) == ("no answer", True)
