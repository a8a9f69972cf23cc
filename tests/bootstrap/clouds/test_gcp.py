"""The calls that doctor makes at Google Cloud, over HTTP to a stub that has answers of the documented shape."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from functools import partial

import pytest

from bootstrap.clouds import gcp
from bootstrap.waits import Waits
from slipway.doctor.cloud import judge_cloud
from slipway.doctor.market import CloudWanted
from slipway.doctor.types import Check, NoAnswer
from slipway.offers import Offer
from slipway.units import GIB
from tests.bootstrap.clouds.stub_api import Reply, StubApi, assert_only_reads, recorded, serve
from tests.bootstrap.conftest import FakeClock

pytestmark = pytest.mark.net

fixture = partial(recorded, "gcp")
PROJECT = "/compute/v1/projects/acme-models"
ZONE = f"{PROJECT}/zones/europe-west4-a"
IMAGE = "projects/ubuntu-os-cloud/global/images/ubuntu-2404-noble-amd64-v20261015"
INFOS = "/quotas/v1/projects/acme-models/locations/global/services/compute.googleapis.com/quotaInfos"
GPU_INFO = f"{INFOS}/GPUS-PER-GPU-FAMILY-per-project-region"
SERVED = "/gke/v1/projects/acme-models/locations/europe-west4-a/serverConfig"
PATHS = {
    PROJECT: "project",
    f"{PROJECT}/regions/europe-west4": "region",
    f"{PROJECT}/zones": "zones",
    f"{ZONE}/machineTypes": "machine-types",
    f"{ZONE}/acceleratorTypes/nvidia-tesla-t4": "accelerator-type",
    f"/compute/v1/{IMAGE}": "image",
    GPU_INFO: "quota-gpus",
    f"{INFOS}/CPUS-PER-VM-FAMILY-per-project-region": "quota-cpus",
    SERVED: "server-config",
}
TOKEN = "ya29.not-a-real-one"
WANTED = CloudWanted(
    provider="gcp",
    zone="europe-west4-a",
    region="europe-west4",
    instances=("g2-standard-8",),
    others=("g2-standard-24",),
    servers=2,
    image=IMAGE,
    disk=200 * GIB,
    addresses=2,
    gpus=1,
    offer=Offer(
        provider="gcp",
        instance="g2-standard-8",
        region="europe-west4",
        currency="USD",
        gpu="L4",
        gpus=1,
        vcpus=8,
        memory=32 * GIB,
        price=0.94,
        source="a list",
        date="2026-11",
    ),
    tier="pd-ssd",
    balancers=1,
    account="acme-models",
    gpu="nvidia-l4",
)
POOL = replace(WANTED, image="1.33.5-gke.1080000", addresses=0, balancers=0, version="1.33", channel="REGULAR")
TODAY = date(2026, 12, 1)


@pytest.fixture
def api() -> Iterator[StubApi]:
    with serve({path: fixture(name) for path, name in PATHS.items()}) as made:
        yield made


def environ(url: str) -> dict[str, str]:
    return {
        "GOOGLE_OAUTH_ACCESS_TOKEN": TOKEN,
        "GOOGLE_COMPUTE_CUSTOM_ENDPOINT": f"{url}/compute/v1/",
        "GOOGLE_CONTAINER_CUSTOM_ENDPOINT": f"{url}/gke/v1/",
        "GOOGLE_CLOUD_QUOTAS_CUSTOM_ENDPOINT": f"{url}/quotas/v1/",
    }


def checks(api: StubApi, waits: Waits, wanted: CloudWanted = WANTED) -> dict[str, Check]:
    return {check.name: check for check in judge_cloud(wanted, gcp.ask(wanted, environ(api.url), waits), TODAY)}


def test_a_project_with_everything(api: StubApi, waits: Waits) -> None:
    found = checks(api, waits)
    assert {name: check.verdict for name, check in found.items()} == {
        "credentials": "ok",
        "zone": "ok",
        "server type": "ok",
        "stock": "not asked",
        "image": "ok",
        "quota: servers": "ok",
        "quota: cores in all regions": "ok",
        "quota: disk": "ok",
        "quota: addresses": "ok",
        "quota: gpus": "ok",
        "quota: gpus in all regions": "ok",
        "price list": "ok",
        "price": "not asked",
    }
    assert found["credentials"].found == "they work: project acme-models"
    assert found["server type"].found == "8 vCPUs, 32 GiB, 1 × nvidia-l4"
    assert found["image"].found == "ubuntu-2404-noble-amd64-v20261015"
    assert found["quota: gpus"].found == "2 of 3 left"
    assert found["quota: disk"].found == "1600 GiB of 2000 left"
    assert found["quota: addresses"].found == "5 of 8 left"


def test_it_only_reads_and_the_token_goes_into_one_header(api: StubApi, waits: Waits) -> None:
    assert_only_reads(api, TOKEN, checks(api, waits))


def test_a_node_pool(api: StubApi, waits: Waits) -> None:
    found = checks(api, waits, POOL)
    assert (found["Kubernetes"].verdict, found["Kubernetes"].found) == ("ok", "1.33.5-gke.1125000")
    assert (found["image"].verdict, found["image"].found) == ("ok", "node version 1.33.5-gke.1080000")
    assert "quota: addresses" not in found
    assert found["server type"].verdict == "ok"


@pytest.mark.parametrize(
    ("update", "name", "verdict", "said"),
    [
        ({"version": "1.31"}, "Kubernetes", "off", "it has 1.33"),
        ({"version": "1.33", "channel": "STABLE"}, "Kubernetes", "off", "it has 1.32"),
        ({"version": "1.30", "channel": "EXTENDED"}, "Kubernetes", "ok", "1.30.14-gke.1000000"),
        ({"channel": "NEW"}, "Kubernetes", "no answer", "what it answered is not what is documented"),
        ({"image": "1.33.1-gke.5"}, "image", "off", "no node can be made with this version"),
        ({"image": None}, "image", "not asked", "the cloud chooses it"),
    ],
)
def test_versions(
    update: dict[str, str | None], name: str, verdict: str, said: str, api: StubApi, waits: Waits
) -> None:
    found = checks(api, waits, replace(POOL, **update))[name]  # type: ignore[arg-type]
    assert (found.verdict, found.found.startswith(said)) == (verdict, True)


def test_a_cluster_of_servers_asks_for_no_versions(api: StubApi, waits: Waits) -> None:
    checks(api, waits)
    assert not any("serverConfig" in line for line in api.asked)


def test_a_zone_that_is_not_up_is_asked_nothing_more(api: StubApi, waits: Waits) -> None:
    found = checks(api, waits, replace(POOL, zone="europe-west4-c"))
    assert (found["zone"].verdict, found["zone"].found) == ("off", "it has europe-west4-a, europe-west4-b")
    assert {found[name].found for name in ("server type", "Kubernetes", "image")} == {"not before the zone is right"}
    assert checks(api, waits, replace(WANTED, zone="xx-west9-a", region="europe-west4"))["image"].verdict == "ok"


def test_a_region_that_is_not_there(api: StubApi, waits: Waits) -> None:
    found = checks(api, waits, replace(WANTED, zone="europe-west99-a", region="europe-west99"))
    assert found["zone"].found == "it has europe-west4-a, europe-west4-b, us-central1-a"
    assert found["quota"].verdict == "no answer"


T4 = replace(WANTED, instances=("n1-standard-8",), others=(), gpu="nvidia-tesla-t4", offer=None)


@pytest.mark.parametrize(
    ("gpus", "verdict", "said"), [(2, "ok", "2 × nvidia-tesla-t4"), (8, "off", "4 × nvidia-tesla-t4")]
)
def test_gpus_that_are_added_to_a_machine(gpus: int, verdict: str, said: str, api: StubApi, waits: Waits) -> None:
    found = checks(api, waits, replace(T4, gpus=gpus))["server type"]
    assert (found.verdict, found.found) == (verdict, f"8 vCPUs, 30 GiB, {said}")


def test_gpus_that_the_zone_does_not_have(api: StubApi, waits: Waits) -> None:
    api.answer(f"{ZONE}/acceleratorTypes/nvidia-tesla-t4", fixture("error-404", 404))
    found = checks(api, waits, T4)["server type"]
    assert (found.verdict, found.found) == ("off", "8 vCPUs, 30 GiB")


def test_machines_that_share_a_quota_of_cores(api: StubApi, waits: Waits) -> None:
    assert checks(api, waits, T4)["quota: cores"].found == "64 of 72 left"


def test_newer_machines_have_their_quota_elsewhere(api: StubApi, waits: Waits) -> None:
    found = checks(api, waits, replace(WANTED, instances=("n4-standard-16",), gpus=0, gpu="", offer=None))
    assert (found["quota: cores"].found, found["quota: cores"].wanted) == ("100 at most, in use not counted", "32 more")
    assert "quota: gpus" not in found


H100 = replace(WANTED, instances=("a3-highgpu-8g",), others=(), gpu="nvidia-h100-80gb", gpus=8, offer=None)


@pytest.mark.parametrize(
    ("servers", "gpu", "verdict", "said"),
    [
        (2, "nvidia-h100-80gb", "ok", "16 at most, in use not counted"),
        (3, "nvidia-h100-80gb", "off", "16 at most, in use not counted"),
        (1, "nvidia-h200-141gb", "off", "0 at most, in use not counted"),
    ],
)
def test_newer_gpus(servers: int, gpu: str, verdict: str, said: str, api: StubApi, waits: Waits) -> None:
    found = checks(api, waits, replace(H100, servers=servers, gpu=gpu))["quota: gpus"]
    assert (found.verdict, found.found) == (verdict, said)
    (asked,) = [h for line, h in zip(api.asked, api.headers, strict=True) if "quotaInfos" in line]
    assert asked["x-goog-user-project"] == "acme-models"


def test_cloud_quotas_that_is_not_enabled_is_one_answer_less(api: StubApi, waits: Waits) -> None:
    api.answer(GPU_INFO, fixture("error-disabled", 403))
    found = checks(api, waits, H100)
    assert found["quota: gpus"].verdict == "no answer"
    assert "Cloud Quotas API has not been used in project 4711" in found["quota: gpus"].found
    assert found["quota: gpus in all regions"].verdict == "off"


def test_spot_servers(api: StubApi, waits: Waits) -> None:
    found = checks(api, waits, replace(WANTED, servers=3, spot=2))
    assert (found["quota: gpus"].wanted, found["quota: gpus"].verdict) == ("1 more", "ok")
    assert (found["quota: spot gpus"].found, found["quota: spot gpus"].verdict) == ("1 of 1 left", "off")
    without = checks(api, waits, replace(T4, spot=2))
    assert (without["quota: gpus"].wanted, "quota: spot gpus" in without) == ("2 more", False)
    newer = checks(api, waits, replace(H100, spot=1))
    assert (newer["quota: gpus"].wanted, newer["quota: spot gpus"].verdict) == ("8 more", "not asked")


@pytest.mark.parametrize(
    ("update", "verdict", "said"),
    [
        ({"deprecated": {"state": "DEPRECATED"}}, "ok", "deprecated"),
        ({"deprecated": {"state": "OBSOLETE"}}, "off", "it is obsolete"),
        ({"status": "FAILED"}, "off", "it is failed"),
    ],
)
def test_images(update: dict[str, object], verdict: str, said: str, api: StubApi, waits: Waits) -> None:
    api.answer(f"/compute/v1/{IMAGE}", Reply(fixture("image").body | update))
    found = checks(api, waits)["image"]
    assert (found.verdict, said in found.found) == (verdict, True)


def test_an_image_that_is_gone(api: StubApi, waits: Waits) -> None:
    api.answer(f"/compute/v1/{IMAGE}", fixture("error-404", 404))
    found = checks(api, waits)["image"]
    assert (found.verdict, found.found) == ("off", "there is no such image, or the account may not see it")


def test_every_page_is_read(api: StubApi, waits: Waits) -> None:
    items = fixture("machine-types").body["items"]
    first = {"kind": "compute#machineTypeList", "items": items[1:], "nextPageToken": "a/b="}
    api.answer(f"{ZONE}/machineTypes", Reply(first), Reply({"items": items[:1]}))
    assert checks(api, waits)["server type"].verdict == "ok"
    assert [line for line in api.asked if "machineTypes" in line] == [
        f"GET {ZONE}/machineTypes?maxResults=500",
        f"GET {ZONE}/machineTypes?maxResults=500&pageToken=a%2Fb%3D",
    ]


@pytest.mark.parametrize(
    ("reply", "verdict", "said"),
    [
        (fixture("error-401", 401), "off", "Compute Engine refuses the credentials: Request had invalid"),
        (fixture("error-404", 404), "off", "there is no project acme-models"),
        (fixture("error-disabled", 403), "no answer", "the credentials may not ask projects/acme-models: Cloud Quotas"),
        (Reply({}, 500), "no answer", "Compute Engine answered projects/acme-models with HTTP 500"),
        (Reply("<html>proxy</html>"), "no answer", "Compute Engine answered projects/acme-models with something"),
        (Reply([]), "ok", "they work"),
    ],
)
def test_a_project_that_does_not_answer(reply: Reply, verdict: str, said: str, api: StubApi, waits: Waits) -> None:
    api.answer(PROJECT, reply)
    found = checks(api, waits)
    assert (found["credentials"].verdict, found["credentials"].found.startswith(said)) == (verdict, True)
    if verdict != "ok":
        assert api.asked == [f"GET {PROJECT}"]
        assert found["zone"].verdict == "not asked"
    else:
        assert found["quota"].verdict == "no answer"


def test_a_permission_that_is_missing(api: StubApi, waits: Waits) -> None:
    api.answer(f"{ZONE}/machineTypes", fixture("error-403", 403))
    found = checks(api, waits)
    assert found["server type"].verdict == "no answer"
    assert "Required 'compute.machineTypes.list' permission" in found["server type"].found
    assert found["quota: gpus"].verdict == "ok"


def test_it_comes_back_after_the_pause_that_it_was_asked_for(api: StubApi, waits: Waits, clock: FakeClock) -> None:
    api.answer(f"{PROJECT}/zones", Reply({}, 429, {"Retry-After": "7"}), fixture("zones"))
    assert checks(api, waits)["zone"].verdict == "ok"
    assert clock.slept == [7.0]


def test_no_answer_in_time(api: StubApi, waits: Waits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gcp, "DEADLINE", 0.2)
    api.answer(f"{PROJECT}/regions/europe-west4", Reply("", 0))
    found = checks(api, waits)["quota"]
    assert (found.verdict, "did not answer within" in found.found) == ("no answer", True)


def test_nobody_there(waits: Waits) -> None:
    said = gcp.ask(WANTED, environ("http://127.0.0.1:9"), waits)
    assert isinstance(said.account, NoAnswer)
    assert (said.account.verdict, "is not reached" in said.account.why) == ("no answer", True)


@pytest.mark.parametrize("body", [{"items": [{"name": "g2-standard-8"}]}, {"items": 7}, [], {"items": [{}]}])
def test_answers_of_another_shape(body: object, api: StubApi, waits: Waits) -> None:
    api.answer(f"{ZONE}/machineTypes", Reply(body))
    found = checks(api, waits)
    assert found["server type"].verdict == "no answer"
    assert found["image"].verdict == "ok"
