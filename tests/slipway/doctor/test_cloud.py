"""What a stack needs of a cloud, and what is said of the cloud's answers; the calls are in tests/bootstrap/clouds."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from slipway.desired import Connection
from slipway.doctor.cloud import judge_cloud
from slipway.doctor.market import CloudAnswers, CloudWanted, Limit, ServerType
from slipway.doctor.needs import cloud_wanted
from slipway.doctor.prices import price_age
from slipway.doctor.types import Check, Made, NoAnswer
from slipway.offers import Offer
from slipway.plan import make_plan
from slipway.releases import load_lock, load_release
from slipway.units import GIB
from tests.slipway.stack_files import BUILT, settings

UPCLOUD = """\
config:
  slipway:provider: upcloud
  slipway:release: local-2026.11
  slipway:model: {name: smollm2-135m-instruct, context: 2048}
  slipway:hosts: {count: 3}
  slipway:upcloud: {zone: fi-hel2, plan: 4xCPU-8GB, ssh_from: [192.0.2.7]}
"""
TODAY = date(2026, 11, 25)
NOBODY = NoAnswer("nobody home")


def wanted(
    more: str = "", made: int = 0, types: tuple[str, ...] = (), text: str = UPCLOUD, *, pool: bool = False
) -> CloudWanted:
    chosen = settings(more, text)
    release = load_release(chosen.release)
    plan = make_plan(chosen, release, load_lock(release.name), BUILT)
    there = tuple(Connection(name=f"h{n}", address=f"10.0.0.{n}", private_key="") for n in range(made))
    found = cloud_wanted(chosen, plan, types, Made(there, pool))
    assert found is not None
    return found


SAID = CloudAnswers(
    account="ops",
    zones=("fi-hel1", "fi-hel2"),
    types={"4xCPU-8GB": ServerType(4, 8 * GIB), "8xCPU-32GB": ServerType(8, 32 * GIB)},
    stock={},
    image="Debian 12",
    limits={"cores": Limit(20, 4), "memory": Limit(100, 0, "GiB"), "addresses": Limit(20), "balancers": Limit(0)},
    prices={"4xCPU-8GB": 0.0712},
    currency="EUR",
)


def checks(need: CloudWanted, said: CloudAnswers = SAID) -> dict[str, Check]:
    return {check.name: check for check in judge_cloud(need, said, TODAY)}


def test_what_a_stack_needs() -> None:
    need = wanted()
    assert (need.zone, need.instances, need.servers, need.addresses, need.balancers) == (
        "fi-hel2",
        ("4xCPU-8GB",),
        3,
        3,
        1,
    )
    assert need.image == "01000000-0000-4000-8000-000020070100"
    assert need.disk == 20e9
    assert need.others[:2] == ("8xCPU-32GB", "12xCPU-48GB")
    assert (need.offer.price if need.offer else 0) == 0.0712


GCP = """\
config:
  slipway:provider: gcp
  slipway:release: local-2026.11
  slipway:model: {name: smollm2-135m-instruct, context: 2048}
  slipway:hosts: {count: 3}
  slipway:gcp:
    project: acme-models
    zone: europe-west4-a
    machine_type: n4-standard-16
    image: projects/acme-models/global/images/debian-12
    spot: 2
    ssh_from: [192.0.2.7]
"""
POOL = f"""\
config:
  slipway:provider: gcp
  slipway:kind: node-pool
  slipway:release: local-2026.11
  slipway:model:
    name: small
    source: https://models.example/small.gguf
    sha256: {"a" * 64}
    size: 100MB
    context: 2048
  slipway:gcp: {{project: acme-models, zone: europe-west4-a, machine_type: n4-standard-16}}
  slipway:pool: {{nodes: 2, image: 1.33.5-gke.1080000, disk: 64GiB}}
  slipway:cluster:
    version: "1.33"
    api_from: [10.0.0.0/24]
    images: {{engine-llama-cpp: "r.example/e@sha256:{"a" * 64}", proxy: "r.example/p@sha256:{"a" * 64}",
             collector: "r.example/c@sha256:{"a" * 64}"}}
"""
AZURE = """\
config:
  slipway:provider: azure
  slipway:release: local-2026.11
  slipway:model: {name: smollm2-135m-instruct, context: 2048}
  slipway:hosts: {count: 3}
  slipway:azure:
    subscription: 00000000-0000-0000-0000-000000000000
    location: swedencentral
    vm_size: Standard_D8s_v5
    image: Debian:debian-12:12-gen2:0.20251112.2294
    ssh_from: [192.0.2.7]
"""


def test_what_a_stack_needs_of_google_cloud() -> None:
    need = wanted(text=GCP, made=1)
    assert (need.account, need.zone, need.region, need.tier) == (
        "acme-models",
        "europe-west4-a",
        "europe-west4",
        "hyperdisk-balanced",
    )
    assert (need.servers, need.spot, need.addresses, need.balancers, need.gpu) == (2, 2, 2, 0, "")
    assert wanted(text=GCP).addresses == 4
    assert wanted(text=GCP.replace("count: 3", "count: 1").replace("    spot: 2\n", "")).addresses == 1


def test_a_pool_needs_a_version_a_node_image_and_no_addresses() -> None:
    need = wanted(text=POOL)
    assert (need.servers, need.addresses, need.balancers, need.spot) == (2, 0, 0, 0)
    assert (need.version, need.image, need.channel) == ("1.33", "1.33.5-gke.1080000", "REGULAR")
    assert need.disk == 64 * GIB
    assert checks(need)["Kubernetes"].verdict == "not asked"
    assert wanted(text=POOL, pool=True).servers == 0


def test_what_a_stack_needs_of_azure() -> None:
    need = wanted(text=AZURE)
    assert (need.account[:8], need.zone, need.region) == ("00000000", "swedencentral", "swedencentral")
    assert (need.servers, need.addresses, need.balancers) == (3, 1, 1)
    assert need.image == "Debian:debian-12:12-gen2:0.20251112.2294"
    zoned = wanted(text=f"{AZURE}    zone: 2\n    load_balancer: never\n")
    assert (zoned.zone, zoned.addresses, zoned.spread) == ("swedencentral-2", 3, ())
    assert wanted(text=f"{AZURE}    anti_affinity: zones\n").spread == ("1", "2", "3")


@pytest.mark.parametrize(
    ("versions", "verdict", "found"),
    [
        (("1.34.1-gke.100", "1.33.5-gke.7", "1.33.4-gke.2"), "ok", "1.33.5-gke.7"),
        (("1.34.1", "1.32.9"), "off", "it has 1.34, 1.32"),
        ((), "off", "it has none"),
        (NOBODY, "no answer", "nobody home"),
    ],
)
def test_versions_of_kubernetes(versions: tuple[str, ...] | NoAnswer, verdict: str, found: str) -> None:
    check = checks(replace(wanted(), version="1.33"), replace(SAID, versions=versions))["Kubernetes"]
    assert (check.verdict, check.found) == (verdict, found)
    assert "Kubernetes" not in checks(wanted(), replace(SAID, versions=versions))


def test_spot_servers_have_quotas_of_their_own_where_the_cloud_says_so() -> None:
    need = replace(wanted(), spot=1)
    together = checks(need)
    assert (together["quota: cores"].wanted, "quota: spot cores" in together) == ("12 more", False)
    apart = checks(need, replace(SAID, limits={"cores": Limit(20, 4), "spot cores": Limit(3, 0)}))
    assert (apart["quota: cores"].wanted, apart["quota: cores"].verdict) == ("8 more", "ok")
    assert (apart["quota: spot cores"].wanted, apart["quota: spot cores"].verdict) == ("4 more", "off")


def test_hosts_that_are_there_need_nothing_more() -> None:
    need = wanted(made=3)
    assert (need.servers, need.balancers) == (0, 0)
    assert not [name for name in checks(need) if name.startswith(("stock", "quota"))]


def test_the_local_stack_asks_no_cloud() -> None:
    chosen = settings()
    release = load_release(chosen.release)
    assert cloud_wanted(chosen, make_plan(chosen, release, load_lock(release.name), BUILT), (), Made()) is None


def test_quota() -> None:
    found = checks(wanted())
    assert (found["quota: cores"].verdict, found["quota: cores"].found, found["quota: cores"].wanted) == (
        "ok",
        "16 of 20 left",
        "12 more",
    )
    assert found["quota: addresses"].found == "20 at most, in use not counted"
    assert found["quota: balancers"].verdict == "off"
    assert "quota: gpus" not in found


def test_cpus_are_not_counted_in_stock() -> None:
    assert checks(wanted())["stock"].verdict == "not asked"


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("account", "credentials"),
        ("zones", "zone"),
        ("types", "server type"),
        ("stock", "stock"),
        ("image", "image"),
        ("limits", "quota"),
        ("prices", "price"),
    ],
)
def test_no_answer_is_never_ok(field: str, name: str) -> None:
    found = checks(wanted(), replace(SAID, **{field: NOBODY}))
    assert (found[name].verdict, found[name].found) == ("no answer", "nobody home")


@pytest.mark.parametrize(
    ("said", "name", "found", "fix"),
    [
        (
            replace(SAID, zones=("de-fra1",)),
            "zone",
            "it has de-fra1",
            "Set the zone of slipway:upcloud to one of these",
        ),
        (
            replace(SAID, types={"8xCPU-32GB": ServerType(8, 32 * GIB)}),
            "server type",
            "fi-hel2 has no such type",
            "Take 8xCPU-32GB",
        ),
    ],
)
def test_what_is_not_there(said: CloudAnswers, name: str, found: str, fix: str) -> None:
    check = checks(wanted(), said)[name]
    assert (check.verdict, check.found, check.fix) == ("off", found, fix)


GPU_NEED = replace(wanted(), instances=("A", "B"), others=("C",), gpus=1)


@pytest.mark.parametrize(
    ("stock", "verdict", "fix"),
    [
        ({"A": 3}, "ok", ""),
        ({"A": 2, "B": 3, "C": 9}, "off", "Plan B: B has 3"),
        ({"A": 2, "B": 1, "C": 9}, "off", "C has 9 and the same GPUs"),
        ({"D": 5}, "off", "Nothing that this stack would take has; the zone has D"),
        ({"D": 1}, "off", "No type has as many here"),
    ],
)
def test_plan_b(stock: dict[str, int], verdict: str, fix: str) -> None:
    found = checks(GPU_NEED, replace(SAID, stock=stock))["stock"]
    assert (found.verdict, found.fix.startswith(fix)) == (verdict, True)


def test_a_type_with_fewer_gpus() -> None:
    found = checks(replace(wanted(), gpus=2), replace(SAID, types={"4xCPU-8GB": ServerType(4, GIB, 1, "L40S")}))
    assert found["server type"].verdict == "off"


OFFER = Offer(
    provider="upcloud", instance="4xCPU-8GB", vcpus=4, memory=8 * GIB, price=0.0712, source="a list", date="2026-11"
)


@pytest.mark.parametrize(
    ("read", "verdict"),
    [
        ("2026-11", "ok"),
        ("2026-08-27", "ok"),
        ("2026-08-26", "off"),
        ("2026-07", "off"),
        ("", "not asked"),
        ("June", "not asked"),
    ],
)
def test_the_age_of_a_price(read: str, verdict: str) -> None:
    assert price_age("UpCloud", OFFER.model_copy(update={"date": read}), TODAY).verdict == verdict


def test_prices() -> None:
    need = replace(wanted(), offer=OFFER)
    assert checks(need)["price"].verdict == "ok"
    dearer = checks(need, replace(SAID, prices={"4xCPU-8GB": 0.1}))["price"]
    assert (dearer.verdict, dearer.cost) == ("off", "+63 EUR a month")
    assert checks(need, replace(SAID, prices={}))["price"].verdict == "no answer"
    assert checks(need, replace(SAID, currency="USD"))["price"].verdict == "not asked"
    assert checks(replace(need, offer=None))["price"].found == "no price list knows 4xCPU-8GB in fi-hel2"
