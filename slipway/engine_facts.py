"""What is known of each engine before any plan: flags that Slipway writes, metric names, probes.

`owned_flags` maps a flag to the setting that decides it ("" where none does).
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class EngineFacts:
    """One engine. `metrics` maps our name of a figure to the engine's own metric."""

    image: str | None
    """name in a release; None where the user brings it"""
    needs_gpu: bool
    owned_flags: dict[str, str]
    metrics: dict[str, str] = field(default_factory=dict)
    memory_fraction: float | None = None
    """default share of a GPU's memory"""
    kv_dtypes: dict[str, str] = field(default_factory=dict)
    """types of the KV cache besides auto, each with the engine's own name of it"""
    batched_tokens: str | None = None
    """flag for the tokens of one step, which a prompt is cut into"""
    stop_seconds: int = 30
    """between SIGTERM and SIGKILL"""


_ADDRESS = {"--host": "", "--port": "slipway:proxy.port for the port that clients use"}

# https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md
LLAMA_CPP = EngineFacts(
    image="engine-llama-cpp",
    needs_gpu=False,
    owned_flags=_ADDRESS
    | dict.fromkeys(("-m", "--model"), "slipway:model")
    | dict.fromkeys(("-a", "--alias"), "slipway:model.name")
    | dict.fromkeys(("-c", "--ctx-size"), "slipway:model.context")
    | dict.fromkeys(("-np", "--parallel"), "slipway:proxy.concurrency")
    | dict.fromkeys(("-t", "--threads"), "slipway:engine.threads")
    | dict.fromkeys(("-ngl", "--gpu-layers", "--n-gpu-layers"), "slipway:engine.gpus")
    | dict.fromkeys(("--api-key", "--api-key-file"), "slipway:api_key; the proxy checks it")
    | dict.fromkeys(("-ctk", "--cache-type-k", "-ctv", "--cache-type-v"), "slipway:engine.kv_dtype")
    | {"--metrics": "", "--no-webui": "", "--cache-ram": ""},
    metrics={
        "running": "llamacpp:requests_processing",
        "waiting": "llamacpp:requests_deferred",
        "prompt_tokens": "llamacpp:prompt_tokens_total",
        "generated_tokens": "llamacpp:tokens_predicted_total",
    },
    kv_dtypes={"fp16": "f16", "bf16": "bf16", "q8_0": "q8_0", "q4_0": "q4_0"},
)

# https://docs.vllm.ai/en/stable/cli/serve/ ; metric names: vllm/v1/metrics/loggers.py; types of the KV cache:
# CacheDType of vllm/config/cache.py, where nvfp4 came with v0.25
VLLM = EngineFacts(
    image="engine-vllm",
    needs_gpu=True,
    owned_flags=_ADDRESS
    | {
        "--model": "slipway:model",
        "--served-model-name": "slipway:model.name",
        "--max-model-len": "slipway:model.context",
        "--max-num-seqs": "slipway:proxy.concurrency",
        "--tensor-parallel-size": "slipway:engine.tensor_parallel",
        "-tp": "slipway:engine.tensor_parallel",
        "--pipeline-parallel-size": "slipway:cluster.nodes_per_replica",
        "-pp": "slipway:cluster.nodes_per_replica",
        "--nnodes": "slipway:cluster.nodes_per_replica",
        "--node-rank": "",
        "--master-addr": "",
        "--master-port": "",
        "--headless": "",
        "--gpu-memory-utilization": "slipway:engine.memory_fraction",
        "--kv-cache-dtype": "slipway:engine.kv_dtype",
        "--max-num-batched-tokens": "slipway:engine.max_batched_tokens",
        "--api-key": "slipway:api_key; the proxy checks it",
        "--shutdown-timeout": "slipway:drain.deadline",
    },
    metrics={
        "running": "vllm:num_requests_running",
        "waiting": "vllm:num_requests_waiting",
        "kv_cache": "vllm:kv_cache_usage_perc",
        "first_token": "vllm:time_to_first_token_seconds",
        "prompt_tokens": "vllm:prompt_tokens_total",
        "generated_tokens": "vllm:generation_tokens_total",
    },
    memory_fraction=0.90,
    kv_dtypes={"bf16": "bfloat16", "fp16": "float16", "fp8": "fp8", "nvfp4": "nvfp4"},
    batched_tokens="--max-num-batched-tokens",
    stop_seconds=60,
)

# https://docs.sglang.io/advanced_features/server_arguments.html and …/references/production_metrics.html
SGLANG = EngineFacts(
    image="engine-sglang",
    needs_gpu=True,
    owned_flags=_ADDRESS
    | dict.fromkeys(("--model-path", "--model"), "slipway:model")
    | dict.fromkeys(("--tp-size", "--tensor-parallel-size", "--tp"), "slipway:engine.tensor_parallel")
    | dict.fromkeys(("--pp-size", "--pipeline-parallel-size", "--nnodes"), "slipway:cluster.nodes_per_replica")
    | dict.fromkeys(("--node-rank", "--dist-init-addr"), "")
    | {
        "--served-model-name": "slipway:model.name",
        "--context-length": "slipway:model.context",
        "--max-running-requests": "slipway:proxy.concurrency",
        "--mem-fraction-static": "slipway:engine.memory_fraction",
        "--kv-cache-dtype": "slipway:engine.kv_dtype",
        "--chunked-prefill-size": "slipway:engine.max_batched_tokens",
        "--enable-metrics": "",
        "--api-key": "slipway:api_key; the proxy checks it",
    },
    metrics={
        "running": "sglang:num_running_reqs",
        "waiting": "sglang:num_queue_reqs",
        "kv_cache": "sglang:token_usage",
        "first_token": "sglang:time_to_first_token_seconds",
        "prompt_tokens": "sglang:prompt_tokens_total",
        "generated_tokens": "sglang:generation_tokens_total",
    },
    memory_fraction=0.85,
    kv_dtypes={"bf16": "bf16", "fp8": "fp8_e4m3"},
    batched_tokens="--chunked-prefill-size",
    stop_seconds=60,
)

CUSTOM = EngineFacts(image=None, needs_gpu=False, owned_flags={})

FACTS: dict[str, EngineFacts] = {"llama.cpp": LLAMA_CPP, "vllm": VLLM, "sglang": SGLANG, "custom": CUSTOM}
