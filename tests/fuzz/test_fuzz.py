"""Each harness, for a fixed number of runs from a fixed seed, starting from valid files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.slipway.architectures.gguf_files import dense, gguf, llama
from tests.slipway.architectures.test_gguf import windowed

HERE = Path(__file__).parent
RUNS = 20_000


def run(harness: str, corpus: Path, *options: str) -> None:
    """A crash, or an input that takes ten seconds or 256 MiB, ends it with an error."""
    done = subprocess.run(
        [sys.executable, str(HERE / harness), f"-runs={RUNS}", "-seed=1", "-timeout=10", "-rss_limit_mb=1024",
         "-malloc_limit_mb=256", f"-artifact_prefix={corpus}/crash-", *options, str(corpus)],
        capture_output=True, text=True, timeout=300, check=False, cwd=HERE.parents[1],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    assert f"Done {RUNS}" in done.stderr


@pytest.mark.slow
def test_gguf_headers(tmp_path: Path) -> None:
    head, _ = gguf(llama(layers=1) | {"tokenizer.ggml.tokens": ["a", "b"]}, dense(1))
    (tmp_path / "plain").write_bytes(head)
    (tmp_path / "windows").write_bytes(gguf(*windowed("gemma3", 2))[0])
    run("fuzz_gguf.py", tmp_path, f"-max_len={4 * len(head)}")
