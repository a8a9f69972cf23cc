"""Reading a machine's apt sources, and what is made of them."""

from __future__ import annotations

from email.utils import formatdate
from pathlib import Path

import pytest

from slipway.errors import SlipwayError
from tools import apt

DEB822 = """\
Types: deb
# a comment in a paragraph
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security/
Suites: bookworm-security
Components: main
 contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main

Types: deb-src
URIs: http://source.example/debian
Suites: bookworm
Components: main
"""

LIST = """\
# deb http://commented.example/debian bookworm main
deb [arch=amd64 signed-by=/etc/apt/keyrings/vendor.gpg] https://apt.vendor.example bookworm main
deb http://ftp.example/debian/ trixie main contrib # trailing
deb-src http://ftp.example/debian trixie main
deb http://security.example/debian-security trixie-security main
"""


def test_deb822_paragraphs_are_read_and_disabled_or_source_ones_left_out() -> None:
    archive, security = apt.parse_deb822(DEB822)
    assert archive.uri == "http://mirror.example/debian"
    assert archive.suites == ("bookworm", "bookworm-updates")
    assert security.uri == "http://mirror.example/debian-security"
    assert security.components == ("main", "contrib")
    assert "debian-archive" in security.signed_by


def test_one_line_entries_are_read_with_their_options() -> None:
    vendor, archive, security = apt.parse_list(LIST)
    assert vendor.signed_by == "/etc/apt/keyrings/vendor.gpg"
    assert (archive.uri, archive.suites, archive.components) == (
        "http://ftp.example/debian",
        ("trixie",),
        ("main", "contrib"),
    )
    assert security.suites == ("trixie-security",)


def test_both_styles_of_files_are_read_in_apts_order(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text("deb http://first.example/debian bookworm main\n")
    (tmp_path / "sources.list.d/debian.sources").write_text(DEB822)
    (tmp_path / "sources.list.d/old.list.save").write_text("deb http://saved.example/debian bookworm main\n")
    uris = [source.uri for source in apt.read_sources(tmp_path)]
    assert uris[0] == "http://first.example/debian"
    assert "http://mirror.example/debian" in uris
    assert "http://saved.example/debian" not in uris


def test_a_machine_without_sources_has_none(tmp_path: Path) -> None:
    assert apt.read_sources(tmp_path) == []


def test_a_vendors_archive_with_debians_suite_name_is_not_taken_for_debian() -> None:
    assert apt.find_mirrors(apt.parse_list(LIST), {}) == apt.Mirrors(
        "http://ftp.example/debian", "http://security.example/debian-security"
    )


def test_the_environment_names_a_mirror_where_the_sources_have_none() -> None:
    ubuntu = apt.parse_list("deb http://archive.example/ubuntu noble main")
    with pytest.raises(SlipwayError, match="SLIPWAY_DEBIAN_MIRROR"):
        apt.find_mirrors(ubuntu, {})
    named = apt.find_mirrors(ubuntu, {"SLIPWAY_DEBIAN_MIRROR": "http://my.example/debian/"})
    assert named == apt.Mirrors("http://my.example/debian", None)


def test_a_stable_release_has_updates_and_security_and_an_unstable_one_has_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apt, "_is_valid", lambda uri, suite, now: suite != "forky")
    mirrors = apt.Mirrors("http://m.example/debian", "http://m.example/debian-security")
    assert [line.split("] ")[1] for line in apt.suite_lines("bookworm", mirrors)] == [
        "http://m.example/debian bookworm main",
        "http://m.example/debian bookworm-updates main",
        "http://m.example/debian-security bookworm-security main",
    ]
    (stale,) = apt.suite_lines("forky", mirrors)
    assert "check-valid-until=no" in stale
    assert f"signed-by={apt.KEYRING}" in stale
    assert "check-valid-until" not in "".join(apt.suite_lines("bookworm", mirrors))


@pytest.mark.parametrize(("offset", "past"), [(-60, True), (60, False)])
def test_a_release_file_is_past_its_validity_when_it_says_so(offset: int, past: bool) -> None:
    now = 1_800_000_000.0
    text = f"Suite: testing\nValid-Until: {formatdate(now + offset).replace('-0000', 'UTC')}\nAcquire-By-Hash: yes\n"
    assert apt.is_past_validity(text, now) is past


def test_a_release_file_without_an_end_is_valid() -> None:
    assert not apt.is_past_validity("Suite: stable\nDate: Sat, 11 Jul 2026 10:16:37 UTC\n", 4e9)
