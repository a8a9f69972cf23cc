"""The pure parts: answers of engines, bundles, probes."""

from __future__ import annotations

import io
import tarfile

import pytest

from bootstrap.drain import cut_off
from bootstrap.service.answers import Answer, completion_text, model_names
from bootstrap.service.bundle import Manifest, pack
from bootstrap.service.layout import part, parts
from bootstrap.service.state import Record, parse_state, parse_units
from bootstrap.service.units import holder_of
from slipway.desired import HealthGate, HostFile, ModelFile, ServiceDesired, Unit
from slipway.model_sources import curl_lines

SECRET = "a-secret-in-a-file"


def service(**changes: object) -> ServiceDesired:
    values: dict[str, object] = {
        "name": "chat",
        "release": "r",
        "files": (
            HostFile(path="/etc/systemd/system/e.service", content="[Service]"),
            HostFile(path="/etc/slipway/c", content="config"),
            HostFile(path="/etc/slipway/k", content=SECRET, mode=0o640, owner="root:65532", secret=True),
        ),
        "units": (
            Unit(name="e.service", restart_on=("/etc/slipway/c",), ports=(9000,)),
            Unit(name="p.service", restart_on=("/etc/slipway/k",), ports=(8443,)),
            Unit(name="c.service", ports=(9464,)),
        ),
        "gate": HealthGate(engines=("http://127.0.0.1:9000",), proxy="https://127.0.0.1:8443", model="m"),
    }
    return ServiceDesired.model_validate({**values, **changes})


def with_file(desired: ServiceDesired, path: str, **changes: object) -> ServiceDesired:
    files = tuple(f.model_copy(update=changes) if f.path == path else f for f in desired.files)
    return desired.model_copy(update={"files": files})


@pytest.mark.parametrize(
    ("text", "answer", "words"),
    [
        ('{"status":"ok"}\n200', Answer(200, '{"status":"ok"}'), 'HTTP 200, {"status":"ok"}'),
        ('{"error":{"message":"Loading model"}}\n503', None, "HTTP 503, Loading model"),
        ('{"error":"gone"}\n410', None, "HTTP 410, gone"),
        ("<html>\n<b>no</b>\n404", None, "HTTP 404, <html> <b>no</b>"),
        ("\n000", Answer(0), "no answer yet"),
        ("", Answer(0), "no answer yet"),
    ],
)
def test_an_answer_in_words(text: str, answer: Answer | None, words: str) -> None:
    parsed = Answer.parse(text)
    assert parsed.words == words
    assert answer is None or parsed == answer


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ('{"choices":[{"message":{"content":"Hi"}}]}', "Hi"),
        ('{"choices":[{"message":{"content":null,"reasoning_content":"Hmm"}}]}', "Hmm"),
        ('{"choices":[{"message":{"content":"","reasoning":"So"}}]}', "So"),
        ('{"choices":[{"message":{"content":""}}]}', ""),
        ('{"choices":[]}', ""),
        ('{"choices":[{"message":"x"}]}', ""),
        ("[]", ""),
        ("not json", ""),
    ],
)
def test_the_text_of_a_completion(body: str, text: str) -> None:
    assert completion_text(Answer(200, body)) == text


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ('{"data":[{"id":"a"},{"id":"b"}]}', ("a", "b")),
        ('{"data":[]}', ()),
        ('{"data":["a"]}', ()),
        ("[]", ()),
        ("", ()),
    ],
)
def test_the_models_of_an_engine(body: str, names: tuple[str, ...]) -> None:
    assert model_names(Answer(200, body)) == names


def test_a_manifest_survives_its_text_and_holds_no_content() -> None:
    manifest = Manifest.of(service())
    assert Manifest.parse(manifest.text) == manifest
    assert SECRET not in manifest.text
    assert Manifest.parse(manifest.text).hash == manifest.hash  # type: ignore[union-attr]
    assert Manifest.parse("{}") is Manifest.parse("") is None


def test_a_bundle_is_the_same_bytes_and_keeps_modes_and_owners() -> None:
    desired = service()
    packed = pack(desired, Manifest.of(desired))
    assert packed == pack(desired, Manifest.of(desired))
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        key = archive.getmember("files/etc/slipway/k")
        assert (key.mode, key.uname, key.gname, key.gid) == (0o640, "root", "", 65532)
        assert archive.extractfile("files/etc/slipway/k").read() == SECRET.encode()  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("change", "restarted"),
    [
        (("/etc/slipway/c", {"content": "new"}), {"e.service"}),
        (("/etc/slipway/k", {"content": "new"}), {"p.service"}),
        (("/etc/slipway/k", {"mode": 0o600}), {"p.service"}),
        (("/etc/systemd/system/e.service", {"content": "new"}), {"e.service"}),
    ],
)
def test_what_a_change_restarts(change: tuple[str, dict[str, object]], restarted: set[str]) -> None:
    old, new = Manifest.of(service()), Manifest.of(with_file(service(), change[0], **change[1]))
    assert old.hash != new.hash
    assert {unit.name for unit in old.units if old.unit_digest(unit) != new.unit_digest(unit)} == restarted


def test_a_new_model_restarts_engines_only() -> None:
    def at(digest: str) -> Manifest:
        return Manifest.of(service(model=ModelFile(source="file:///m", sha256=digest, size=1, path="/m")))

    assert [at("a").unit_digest(unit) != at("b").unit_digest(unit) for unit in at("a").units] == [True, False, False]
    assert [at("a").takes_traffic(unit) for unit in at("a").units] == [True, True, False]


def test_a_record_survives_its_text() -> None:
    record = Record("chat", "r", "h", "serving", "h", "Hello 'you'")
    assert Record.parse('{"name": "chat"}') is Record.parse("x") is None
    assert record.at("failed").position == "failed"
    assert '"completion": "Hello' in record.script()


def test_an_empty_host_is_an_empty_state() -> None:
    state = parse_state("")
    assert (state.record, state.current, state.files, state.units) == (None, None, {}, {})
    assert not state.unit("e.service").running


def test_units_as_systemd_shows_them() -> None:
    shown = (
        "Id=a.service\nActiveState=activating\nSubState=auto-restart\nUnitFileState=enabled\nNeedDaemonReload=yes\n"
        "NRestarts=3\nResult=exit-code\nExecMainStatus=1\n\nId=b.service\nActiveState=inactive\nUnitFileState=\n"
    )
    units = parse_units(shown)
    assert (units["a.service"].restarts, units["a.service"].status, units["a.service"].reload) == (3, 1, True)
    assert not units["a.service"].running
    assert not units["b.service"].starts_by_itself


def test_parts_are_told_apart_whatever_was_printed() -> None:
    assert part("a") == "printf '\\n%s\\n' '@@slipway a'"
    assert parts("noise\n@@slipway a\nx\ny\n@@slipway b\n") == {"a": "x\ny", "b": ""}


def test_who_holds_a_port() -> None:
    line = 'LISTEN 0 511 0.0.0.0:8443 0.0.0.0:* users:(("nginx",pid=812,fd=6),("nginx",pid=811,fd=6))'
    assert holder_of(line) == ("nginx (pid 812)", "812")
    assert holder_of("LISTEN 0 511 0.0.0.0:8443")[1] == ""


def test_cut_off_streams_are_read_from_a_drain() -> None:
    assert cut_off("drained, 0 s\ncut off: 3\n") == "3"
    assert cut_off("drained, 0 s\n") is None


def test_curl_values_are_quoted() -> None:
    assert curl_lines([("header", 'a: "b\\c"\nd'), ("fail", None)]) == 'header = "a: \\"b\\\\c\\"\\nd"\nfail\n'
