"""Each harness, for a fixed number of runs from a fixed seed, starting from valid files."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tests.slipway.architectures.gguf_files import dense, gguf, llama
from tests.slipway.architectures.test_gguf import windowed

HERE = Path(__file__).parent
RUNS = 20_000
CONFIG = {
    "architectures": ["LlamaForCausalLM"], "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16,
    "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 64, "max_position_embeddings": 131_072,
    "model_type": "llama", "tie_word_embeddings": True, "torch_dtype": "bfloat16", "vocab_size": 128_256,
}  # fmt: skip
"""of Llama-3.2-1B"""


def run(harness: str, corpus: Path, *options: str) -> None:
    """A crash, or an input that takes ten seconds or 256 MiB, ends it with an error.

    A shell is in between: the most memory that a process ever had counts from that of the process it was started by,
    and that of a run of all tests is past the limit.
    """
    done = subprocess.run(
        ["sh", "-c", '"$@"; exit $?', "sh",
         sys.executable, str(HERE / harness), f"-runs={RUNS}", "-seed=1", "-timeout=10", "-rss_limit_mb=1024",
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


@pytest.mark.slow
def test_configurations(tmp_path: Path) -> None:
    config = json.dumps(CONFIG).encode()
    index = json.dumps({"metadata": {"total_size": 2_471_645_608}, "weight_map": {"model.norm.weight": "a"}}).encode()
    header = json.dumps({"a": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]}}).encode()
    (tmp_path / "config").write_bytes(config)
    (tmp_path / "index").write_bytes(config + b"\0" + index)
    (tmp_path / "header").write_bytes(config + b"\0\0" + struct.pack("<Q", len(header)) + header)
    run("fuzz_config.py", tmp_path, f"-max_len={4 * len(config)}")
