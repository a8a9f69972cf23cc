"""The calls that doctor makes at UpCloud, over HTTP to a stub that has answers of the documented shape."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from functools import partial

import pytest

from bootstrap.clouds import asking, upcloud
from bootstrap.waits import Waits
from slipway.doctor.cloud import judge_cloud
from slipway.doctor.market import CloudWanted
from slipway.doctor.types import Check, NoAnswer
from slipway.offers import offers
from tests.bootstrap.clouds.stub_api import Reply, StubApi, assert_only_reads, recorded, serve
from tests.bootstrap.conftest import FakeClock

pytestmark = pytest.mark.net

fixture = partial(recorded, "upcloud")
PATHS = {
    "/1.3/account": "account",
    "/1.3/account/details/ops": "account-details",
    "/1.3/zone": "zone",
    "/1.3/plan": "plan",
    "/1.3/price": "price",
    "/1.3/storage/template": "template",
    "/1.3/server": "server",
    "/1.3/device/availability": "availability",
    "/1.3/kubernetes/versions": "kubernetes-versions",
}
TOKEN = "ucat_not-a-real-one"
L40S, RTX = "GPU-8xCPU-64GB-1xL40S", "GPU-16xCPU-80GB-1xRTXPRO6000"
DEBIAN = "01000000-0000-4000-8000-000020070100"
WANTED = CloudWanted(
    provider="upcloud",
    zone="fi-hel2",
    region="fi-hel2",
    instances=(L40S, RTX),
    others=(),
    servers=2,
    image=DEBIAN,
    disk=200e9,
    addresses=2,
    gpus=1,
    offer=next(offer for offer in offers() if offer.instance == L40S),
    tier="maxiops",
    balancers=1,
)
TODAY = date(2026, 8, 1)


@pytest.fixture
def api() -> Iterator[StubApi]:
    with serve({path: fixture(name) for path, name in PATHS.items()}) as made:
        yield made


def checks(
    api: StubApi, waits: Waits, wanted: CloudWanted = WANTED, environ: dict[str, str] | None = None
) -> dict[str, Check]:
    given = environ or {"UPCLOUD_TOKEN": TOKEN}
    said = upcloud.ask(wanted, {"UPCLOUD_DEBUG_API_BASE_URL": api.url, **given}, waits)
    return {check.name: check for check in judge_cloud(wanted, said, TODAY)}


def test_an_account_with_everything(api: StubApi, waits: Waits) -> None:
    found = checks(api, waits)
    assert {name: check.verdict for name, check in found.items()} == {
        "credentials": "ok",
        "zone": "ok",
        "server type": "ok",
        "stock": "ok",
        "image": "ok",
        "quota: cores": "ok",
        "quota: memory": "ok",
        "quota: disk": "ok",
        "quota: addresses": "ok",
        "quota: gpus": "ok",
        "quota: balancers": "ok",
        "price list": "ok",
        "price": "ok",
    }
    assert found["server type"].found == "8 vCPUs, 64 GiB, 1 × NVIDIA L40S"
    assert found["quota: gpus"].found == "2 of 3 left"
    assert found["quota: memory"].found == "235 GiB of 300 left"
    assert found["image"].found == "Debian GNU/Linux 12 (Bookworm)"
    assert found["price"].found == "1.11 EUR an hour"


def test_it_only_reads_and_the_token_goes_into_one_header(api: StubApi, waits: Waits) -> None:
    assert_only_reads(api, TOKEN, checks(api, waits))


def test_user_and_password(api: StubApi, waits: Waits) -> None:
    assert (
        checks(api, waits, environ={"UPCLOUD_USERNAME": "ops", "UPCLOUD_PASSWORD": "x"})["credentials"].verdict == "ok"
    )
    assert {headers["authorization"] for headers in api.headers} == {"Basic b3BzOng="}


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"UPCLOUD_USERNAME": "ops"}, "neither UPCLOUD_TOKEN, nor"),
        ({"UPCLOUD_TOKEN": TOKEN, "UPCLOUD_USERNAME": "ops"}, "both UPCLOUD_TOKEN and"),
    ],
)
def test_without_credentials_nothing_is_asked(environ: dict[str, str], said: str, api: StubApi, waits: Waits) -> None:
    found = checks(api, waits, environ=environ)
    assert (found["credentials"].verdict, found["credentials"].found.startswith(said)) == ("off", True)
    assert {check.verdict for name, check in found.items() if name not in ("credentials", "price list")} == {
        "not asked"
    }
    assert api.asked == []


def test_credentials_that_are_refused(api: StubApi, waits: Waits) -> None:
    api.answer("/1.3/account", replace(fixture("error-401"), status=401))
    found = checks(api, waits)
    assert found["credentials"].verdict == "off"
    assert "refuses the credentials: Authentication failed" in found["credentials"].found
    assert api.asked == ["GET /1.3/account"]


def test_a_user_who_may_not_see_servers(api: StubApi, waits: Waits) -> None:
    api.answer("/1.3/server", replace(fixture("error-403"), status=403))
    found = checks(api, waits)
    assert found["quota"].verdict == "no answer"
    assert "may not ask /1.3/server: The user does not have permission" in found["quota"].found
    assert found["zone"].verdict == "ok"


def test_a_call_that_is_gone(api: StubApi, waits: Waits) -> None:
    api.answer("/1.3/device/availability", Reply({"message": "not found"}, 404))
    assert checks(api, waits)["stock"].verdict == "no answer"


def test_it_comes_back_after_the_pause_that_it_was_asked_for(api: StubApi, waits: Waits, clock: FakeClock) -> None:
    api.answer("/1.3/zone", Reply({}, 429, {"Retry-After": "7"}), fixture("zone"))
    assert checks(api, waits)["zone"].verdict == "ok"
    assert clock.slept == [7.0]


@pytest.mark.parametrize(("pause", "slept"), [("3", [3.0, 3.0]), ("600", [])])
def test_it_does_not_knock_for_ever(
    pause: str, slept: list[float], api: StubApi, waits: Waits, clock: FakeClock
) -> None:
    api.answer("/1.3/zone", Reply({}, 429, {"Retry-After": pause}))
    found = checks(api, waits)["zone"]
    assert (found.verdict, found.fix) == ("no answer", f"Try again in {pause} s")
    assert clock.slept == slept


def test_no_answer_in_time(api: StubApi, waits: Waits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upcloud, "DEADLINE", 0.2)
    api.answer("/1.3/price", Reply("", 0))
    found = checks(api, waits)
    assert found["price"].verdict == "no answer"
    assert "did not answer within" in found["price"].found


def test_nobody_there(waits: Waits) -> None:
    said = upcloud.ask(WANTED, {"UPCLOUD_TOKEN": TOKEN, "UPCLOUD_DEBUG_API_BASE_URL": "http://127.0.0.1:9"}, waits)
    assert isinstance(said.account, NoAnswer)
    assert (said.account.verdict, "is not reached" in said.account.why) == ("no answer", True)


@pytest.mark.parametrize("body", ["<html>proxy</html>", {"plans": []}, {"plans": {"plan": [{"name": "x"}]}}, []])
def test_answers_of_another_shape(body: object, api: StubApi, waits: Waits) -> None:
    api.answer("/1.3/plan", Reply(body))
    found = checks(api, waits)
    assert found["server type"].verdict == "no answer"
    assert found["stock"].verdict == "ok"


def test_no_stock_names_plan_b(api: StubApi, waits: Waits) -> None:
    api.answer("/1.3/device/availability", Reply({"fi-hel2": {"gpu_plans": {L40S: {"amount": 1}, RTX: {"amount": 7}}}}))
    found = checks(api, waits)["stock"]
    assert (found.verdict, found.found) == ("off", "1 can be had in fi-hel2")
    assert found.fix.startswith(f"Plan B: {RTX} has 7")


def test_a_zone_without_gpus(api: StubApi, waits: Waits) -> None:
    api.answer("/1.3/device/availability", Reply({}))
    assert checks(api, waits)["stock"].found == "0 can be had in fi-hel2"


@pytest.mark.parametrize(
    ("version", "verdict", "said"), [("1.33", "ok", "1.33.3"), ("1.29", "off", "it has 1.32, 1.33")]
)
def test_versions_of_clusters(version: str, verdict: str, said: str, api: StubApi, waits: Waits) -> None:
    found = checks(api, waits, replace(WANTED, version=version))["Kubernetes"]
    assert (found.verdict, found.found) == (verdict, said)
    checks(api, waits)
    assert api.asked.count("GET /1.3/kubernetes/versions") == 1


def test_a_template_that_is_gone(api: StubApi, waits: Waits) -> None:
    found = checks(api, waits, replace(WANTED, image="01000000-0000-4000-8000-000000000000"))["image"]
    assert (found.verdict, found.found) == ("off", "no template has this UUID")


def test_another_price(api: StubApi, waits: Waits) -> None:
    api.answer(
        "/1.3/price",
        Reply({"prices": {"zone": [{"name": "fi-hel2", f"server_plan_{L40S}": {"amount": 1, "price": 131}}]}}),
    )
    found = checks(api, waits)["price"]
    assert (found.verdict, found.found, found.cost) == ("off", "1.31 EUR an hour", "+292 EUR a month")


def test_every_page_of_servers_is_counted(api: StubApi, waits: Waits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upcloud, "PAGE", 2)
    api.answer("/1.3/server", fixture("server"), Reply({"servers": {"server": []}}))
    assert checks(api, waits)["quota: gpus"].found == "2 of 3 left"
    assert [line for line in api.asked if "/server?" in line] == [
        "GET /1.3/server?limit=2&offset=0",
        "GET /1.3/server?limit=2&offset=2",
    ]


def test_the_pause_has_a_default(waits: Waits) -> None:
    assert asking._seconds("Wed, 21 Oct 2026 07:28:00 GMT") == 5.0
