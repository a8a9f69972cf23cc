"""STUB of NVIDIA's apt archives: signed, cached by content, served over HTTP."""

from __future__ import annotations

import http.server
import posixpath
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.nvidia import catalogue, debs, texts
from tools import cache

CUDA = "compute/cuda/repos/debian12/x86_64"
TOOLKIT = "libnvidia-container/stable/deb/amd64"
DISTRIBUTION = "distribution"
LABELS = {CUDA: "NVIDIA CUDA", TOOLKIT: "nvidia-container-toolkit", DISTRIBUTION: "Distribution"}
USER = "STUB of NVIDIA's archive key <stub@slipway.invalid>"


class NvidiaArchive:
    """The repositories under `folder`, made when they are not there yet. Their key is made with them.

    While `serve` lasts, `url` is their base, `asked` what was fetched, and `altered` maps a path below `url` to the
    content that is answered in place of the file.
    """

    def __init__(self, folder: Path) -> None:
        parts = [Path(module.__file__ or "").read_bytes() for module in (catalogue, debs, texts)]
        parts += [path.read_bytes() for path in sorted(catalogue.STUBS.iterdir())]
        name = cache.fingerprint(
            Path(__file__).read_bytes(), *parts, *(deb.name for deb in catalogue.machine_packages())
        )
        self.root = cache.ensure(folder / f"nvidia-{name}", _build)
        self.key = (self.root / "key.asc").read_text()
        """the public key, ASCII-armoured"""
        self.fingerprint = (self.root / "fingerprint").read_text()
        """40 hex digits"""
        self.url = ""
        self.asked: list[str] = []
        self.altered: dict[str, bytes] = {}

    @contextmanager
    def serve(self, address: str) -> Iterator[NvidiaArchive]:
        """Serves on a free port of `address`: loopback, or the gateway of a fleet's network for its machines."""
        archive = self

        class Answers(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *args: object) -> None:
                super().__init__(*args, directory=str(archive.root))  # type: ignore[arg-type]

            def do_GET(self) -> None:
                path = posixpath.normpath(self.path).lstrip("/")
                archive.asked.append(path)
                body = archive.altered.get(path)
                if body is None:
                    super().do_GET()
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        server = http.server.ThreadingHTTPServer((address, 0), Answers)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        self.url = f"http://{address}:{server.server_address[1]}"
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
            self.url = ""
            self.altered.clear()

    def sources(self, keyring: str = "", *repositories: str) -> str:
        """deb822 paragraphs of the repositories; of the CUDA one, which has the toolkit as well, when none is named.

        They are signed by the file `keyring` on the host; without one the key itself is in them.
        """
        if not self.url:
            raise ValueError("the archive is not being served")
        signed = keyring or "\n" + "\n".join(f" {line or '.'}" for line in self.key.strip().splitlines())
        return "\n".join(
            f"Types: deb\nURIs: {self.url}/{path}\nSuites: /\nSigned-By: {signed}\n" for path in repositories or (CUDA,)
        )


def _build(folder: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="slw-gpg-") as home:  # short: the path of the agent's socket has a limit
        try:
            _gpg(home, "--quick-generate-key", USER, "ed25519", "sign", "never")
            key = _gpg(home, "--armor", "--export").decode()
            listing = _gpg(home, "--with-colons", "--list-keys").decode()
            fingerprint = next(line.split(":")[9] for line in listing.splitlines() if line.startswith("fpr:"))
            (folder / "key.asc").write_text(key)
            (folder / "fingerprint").write_text(fingerprint)
            for path, packages in _repositories(key).items():
                _repository(home, folder / path, LABELS[path], packages)
        finally:
            subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False, capture_output=True)


def _repositories(key: str) -> dict[str, list[debs.Deb]]:
    cuda = [deb for driver in catalogue.DRIVERS for deb in catalogue.driver_packages(driver)]
    toolkit = [deb for version in catalogue.TOOLKITS for deb in catalogue.toolkit_packages(version)]
    cuda += [*toolkit, *catalogue.other_packages(), *catalogue.machine_packages()]
    # Its entry names the real archive's place: a host that uses it needs a mirror, which is what sources are for.
    entry = f"deb [signed-by=/usr/share/keyrings/cuda-archive-keyring.asc] http://archive.slipway.invalid/{CUDA} ./\n"
    cuda.append(catalogue.keyring_package(key, entry))
    return {CUDA: cuda, TOOLKIT: toolkit, DISTRIBUTION: catalogue.distribution_packages()}


def _repository(home: str, folder: Path, label: str, packages: list[debs.Deb]) -> None:
    folder.mkdir(parents=True)
    text, files = debs.packages_index(packages)
    index = {"Packages": text.encode(), "Packages.gz": debs.compressed(text.encode())}
    for name, data in {**files, **index}.items():
        (folder / name).write_bytes(data)
    origin = "Debian" if label == "Distribution" else "NVIDIA"
    (folder / "Release").write_text(debs.release(origin, label, index))
    _gpg(home, "--clearsign", "--output", str(folder / "InRelease"), str(folder / "Release"))
    _gpg(home, "--armor", "--detach-sign", "--output", str(folder / "Release.gpg"), str(folder / "Release"))


def _gpg(home: str, *arguments: str) -> bytes:
    if not shutil.which("gpg"):
        raise FileNotFoundError("gpg is not installed: `tools/need.sh test` gets it")
    argv = [
        "gpg",
        "--homedir",
        home,
        "--batch",
        "--quiet",
        "--no-tty",
        "--pinentry-mode",
        "loopback",
        "--passphrase",
        "",
    ]
    return subprocess.run([*argv, *arguments], check=True, capture_output=True).stdout
