"""Every cloud that a stack file can name is asked by a module of its own, and by its name in what is printed."""

from __future__ import annotations

from importlib import import_module
from typing import get_args

import pytest

from bootstrap.commands import doctor
from slipway.doctor.cloud import NAMES
from slipway.doctor.market import CloudAnswers
from slipway.doctor.types import NoAnswer
from slipway.settings.clouds import CloudSection
from slipway.settings.sections import Provider, Settings
from tests.bootstrap.clouds import test_azure, test_gcp
from tests.bootstrap.clouds.stub_api import StubApi

SECTIONS = {name: field.annotation for name, field in Settings.model_fields.items()}
CLOUDS = [
    name
    for name in get_args(Provider)
    if isinstance(SECTIONS.get(name), type) and issubclass(SECTIONS[name], CloudSection)  # type: ignore[arg-type]
]

gcp_api, azure_api = test_gcp.api, test_azure.api


def test_every_cloud_is_asked() -> None:
    assert len(CLOUDS) >= 4
    assert sorted(CLOUDS) == sorted(doctor.CLOUDS) == sorted(NAMES)
    assert [name for name in CLOUDS if not callable(import_module(f"bootstrap.clouds.{name}").ask)] == []


def well(said: CloudAnswers) -> None:
    for answer in (said.account, said.zones, said.types, said.image, said.limits):
        assert not isinstance(answer, NoAnswer)


@pytest.mark.net
def test_the_command_asks_google_cloud(gcp_api: StubApi, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in test_gcp.environ(gcp_api.url).items():
        monkeypatch.setenv(name, value)
    well(doctor.ask_cloud(test_gcp.WANTED))


@pytest.mark.net
@pytest.mark.usefixtures("azure_api")
def test_the_command_asks_azure(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in test_azure.PRINCIPAL.items():
        monkeypatch.setenv(name, value)
    well(doctor.ask_cloud(test_azure.WANTED))
