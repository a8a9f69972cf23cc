"""The peers' own virtual environment: they are for benchmarks only, so `.venv` does not carry them."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from bench.report import say
from bench.running import ROOT, BenchError, timed
from bootstrap.paths import cache_dir

NAMES = ("ansible-core", "pyinfra")


def ensure() -> Path:
    """`bin` of a virtual environment with the dependency group `bench`, at uv.lock's versions."""
    environment = cache_dir() / "bench-venv"
    # Where `make install` puts uv, then whatever the user has.
    found = next(map(str, sorted(cache_dir().glob("uv/*/uv"))), None) or shutil.which("uv")
    found = found or shutil.which("uv", path=str(Path(sys.executable).parent))
    if found is None:
        raise BenchError("uv is not installed", where="peers", fix="Run `make install`.")
    say(f"peers: {', '.join(NAMES)} in {environment}")
    timed(
        "uv sync",
        [found, "sync", "--frozen", "--only-group", "bench", "--python", sys.executable],
        env={"UV_PROJECT_ENVIRONMENT": str(environment), "VIRTUAL_ENV": ""},
        cwd=ROOT,
    )
    return environment / "bin"


def versions(peers: Path) -> dict[str, str]:
    """Name → installed version."""
    script = (
        f"import importlib.metadata, json; print(json.dumps({{n: importlib.metadata.version(n) for n in {NAMES!r}}}))"
    )
    found: dict[str, str] = json.loads(timed("versions of the peers", [peers / "python", "-c", script]).stdout)
    return found
