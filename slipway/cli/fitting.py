"""`slipway fit`: how much memory a model takes on a GPU, and what is left for requests."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer

from slipway.cli.effects import Effects
from slipway.errors import SizingError

if TYPE_CHECKING:
    from slipway.architectures.types import Architecture
    from slipway.cpus import Cpu
    from slipway.estimates import Range
    from slipway.gpus import Gpu
    from slipway.memory.settings import Resolved
    from slipway.memory.types import Engine, Fit, Setup

KV_DTYPES = {
    "vllm": ("auto", "bf16", "fp16", "fp8", "nvfp4"),
    "sglang": ("auto", "bf16", "fp16", "fp8"),
    "llama.cpp": ("auto", "bf16", "fp16", "q8_0", "q4_0"),
}
SPELLINGS = {
    "bfloat16": "bf16", "float16": "fp16", "half": "fp16", "f16": "fp16", "fp8_e4m3": "fp8", "fp8_e5m2": "fp8",
    "float8": "fp8",
}  # fmt: skip
ENGINES = {"vllm": "vllm", "sglang": "sglang", "llama.cpp": "llama.cpp", "llamacpp": "llama.cpp"}
MOST_TOKENS = 100_000_000
MOST_RANKS = 1024

Model = Annotated[
    str,
    typer.Option(
        "--model", metavar="NAME_OR_PATH", help="A Hugging Face repository id, a model folder or a GGUF file."
    ),
]
GpuName = Annotated[str, typer.Option("--gpu", metavar="NAME", help="A GPU such as L4 or H100-SXM, or a CPU's name.")]
Gpus = Annotated[
    int | None,
    typer.Option("--gpus", metavar="N", help="GPUs there are. Without --tensor-parallel the model is cut over all."),
]
Tensor = Annotated[
    int | None,
    typer.Option("--tensor-parallel", metavar="N", help="GPUs that every layer is cut over. Default: --gpus."),
]
Pipeline = Annotated[int, typer.Option("--pipeline-parallel", metavar="N", help="Stages that share the layers.")]
EngineName = Annotated[str, typer.Option("--engine", metavar="NAME", help="vllm, sglang or llama.cpp.")]
EngineVersion = Annotated[
    str | None,
    typer.Option("--engine-version", metavar="VERSION", help="Such as 0.21.0, 0.6.x or 2026-06. Default: the newest."),
]
Fraction = Annotated[
    float | None,
    typer.Option("--gpu-memory-utilization", metavar="SHARE", help="Memory fraction. Default: the engine's own."),
]
Length = Annotated[
    int | None,
    typer.Option("--max-model-len", metavar="TOKENS", help="Longest request. Default: the model's own context."),
]
KvDtype = Annotated[
    str, typer.Option("--kv-dtype", metavar="TYPE", help="auto, bf16, fp16, fp8, nvfp4; llama.cpp: q8_0, q4_0.")
]
Sequences = Annotated[
    int | None, typer.Option("--max-num-seqs", metavar="N", help="Requests at once. Default: the engine's own.")
]
Batched = Annotated[
    int | None,
    typer.Option("--max-num-batched-tokens", metavar="N", help="Tokens of one step. Default: the engine's own."),
]
Eager = Annotated[bool, typer.Option("--enforce-eager", help="Without CUDA graphs.")]
LanguageOnly = Annotated[
    bool, typer.Option("--language-model-only", help="Without the encoders of images and sounds, as vLLM's option.")
]
Speculative = Annotated[
    int, typer.Option("--speculative-tokens", metavar="N", help="Tokens that the model's own prediction head drafts.")
]
Mig = Annotated[
    str | None, typer.Option("--mig", metavar="PROFILE", help="One slice of the GPU, such as 1g.10gb, in its place.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def add_fit(app: typer.Typer, effects: Effects) -> None:
    from slipway.cli.app import sentences

    @app.command("fit")
    @sentences
    def fit_command(  # noqa: PLR0917 - options of a command
        model: Model,
        gpu: GpuName,
        gpus: Gpus = None,
        tensor_parallel: Tensor = None,
        pipeline_parallel: Pipeline = 1,
        engine: EngineName = "vllm",
        engine_version: EngineVersion = None,
        gpu_memory_utilization: Fraction = None,
        max_model_len: Length = None,
        kv_dtype: KvDtype = "auto",
        max_num_seqs: Sequences = None,
        max_num_batched_tokens: Batched = None,
        enforce_eager: Eager = False,
        language_model_only: LanguageOnly = False,
        speculative_tokens: Speculative = 0,
        mig: Mig = None,
        as_json: AsJson = False,
    ) -> None:
        """Say how much memory a model takes on each GPU, and what is left for requests.

        Every figure has a low, a best and a high guess. It fits when even the worst of them leaves room for one
        request of the full length. Not to fit is an answer too: the exit code is 0, and what to change is said. Bad
        input is 2.
        """
        from slipway.cli.architectures import architecture_of
        from slipway.memory import Setup, fit

        name = _engine(engine)
        tensor = _cut(gpus, tensor_parallel, pipeline_parallel)
        setup = Setup(
            device=_device(gpu) if mig is None else _slice(gpu, mig, tensor * pipeline_parallel),
            engine=name,
            engine_version=engine_version,
            tensor_parallel=tensor,
            pipeline_parallel=_between("--pipeline-parallel", pipeline_parallel, 1, MOST_RANKS),
            memory_fraction=_share(gpu_memory_utilization),
            max_model_len=_optional("--max-model-len", max_model_len, MOST_TOKENS),
            kv_dtype=_kv_dtype(name, kv_dtype),
            max_num_seqs=_optional("--max-num-seqs", max_num_seqs, 1_000_000),
            max_num_batched_tokens=_optional("--max-num-batched-tokens", max_num_batched_tokens, MOST_TOKENS),
            cuda_graphs=not enforce_eager,
            speculative_tokens=_between("--speculative-tokens", speculative_tokens, 0, 64),
        )
        architecture = architecture_of(model, effects)
        if language_model_only:
            architecture = architecture.without_encoders()
        found = fit(architecture, setup)
        if as_json:
            typer.echo(json.dumps(fit_data(architecture, setup, found), indent=2, ensure_ascii=False))
        else:
            show_fit(architecture, setup, found)


def fit_data(architecture: Architecture, setup: Setup, found: Fit) -> dict[str, Any]:
    """The answer as JSON-able data. Sizes are GiB a GPU, the fullest one; `fits` is the whole answer in one word."""
    from slipway.memory import changes, explain, impossible
    from slipway.memory.settings import resolved
    from slipway.units import GIB

    plan = resolved(architecture, setup)
    reason = impossible(architecture, setup)
    verdict = "no" if reason else found.verdict
    return {
        "model": architecture.name,
        "gpu": setup.device.name,
        "engine": setup.engine,
        "engine_version": ".".join(map(str, plan.behaviour.version)),
        "fits": verdict == "fits",
        "verdict": verdict,
        "weights_gib_per_gpu": _data(found.weights, GIB),
        "available_kv_gib_per_gpu": _data(found.kv_available, GIB),
        "kv_tokens": _data(found.kv_tokens, 1, digits=0),
        "max_concurrency": _data(found.max_concurrency, 1),
        "max_context": _data(found.max_context, 1, digits=0),
        "settings": _settings(setup, plan),
        "terms": [
            {"name": term.name, "gib": _data(term.size, GIB), "why": term.why}
            for term in explain(architecture, setup, found)
        ],
        "changes": list(changes(architecture, setup, found)),
        "notes": _notes(architecture, setup, plan),
    }


def show_fit(architecture: Architecture, setup: Setup, found: Fit) -> None:
    """Print the arithmetic on standard output, a line a term, and what follows from it."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from slipway.memory import changes, explain, impossible
    from slipway.memory.settings import resolved
    from slipway.units import GIB

    console = Console(highlight=False)
    plan = resolved(architecture, setup)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("")
    for title in ("GiB a GPU", "low", "high"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("")
    for term in explain(architecture, setup, found):
        sign = "" if term.name in {"usable", "KV cache", "one request"} else "- "
        sizes = (f"{sign}{term.size.mid / GIB:.2f}", f"{term.size.low / GIB:.2f}", f"{term.size.high / GIB:.2f}")
        table.add_row(term.name, *sizes, escape(term.why))
    console.print(table)
    console.print()
    console.print(_answer(architecture, found, plan, impossible(architecture, setup)))
    for sentence in changes(architecture, setup, found):
        console.print(f"  · {escape(sentence)}")
    for note in _notes(architecture, setup, plan):
        console.print(f"  ({escape(note)})", style="dim")


def _answer(architecture: Architecture, found: Fit, plan: Resolved, reason: str | None) -> str:
    from rich.markup import escape

    name = escape(architecture.name)
    if reason:
        return f"[bold]{name} cannot run so.[/bold]"
    if found.verdict == "no" and found.max_concurrency.mid >= 1:
        # Slots of llama.cpp, or recurrent states of vLLM: all of them must have room from the start.
        return f"[bold]{name} does not fit[/bold] with {plan.sequences} requests at once. What would help:"
    if found.verdict == "no":
        return f"[bold]{name} does not fit[/bold], not for one request of {plan.length:,} tokens. What would help:"
    holds = (
        f"{found.kv_tokens.mid:,.0f} KV tokens ({found.kv_tokens.low:,.0f} to {found.kv_tokens.high:,.0f}), "
        f"{found.max_concurrency.mid:.1f} requests of {plan.length:,} tokens at once"
    )
    if not found.kv_bytes_per_token and not found.max_concurrency.high:
        holds = "it keeps nothing of a request"
    if found.fits:
        return f"[bold]{name} fits[/bold]: {holds}."
    return f"[bold]{name} may fit, but only just[/bold]: {holds}. What would help:"


def _notes(architecture: Architecture, setup: Setup, plan: Resolved) -> list[str]:
    from slipway.gpus import Gpu
    from slipway.memory import weight_only

    notes = list(architecture.notes)
    remark = weight_only(architecture, setup.device) if isinstance(setup.device, Gpu) else None
    if remark:
        notes.append(remark)
    if plan.kv_dtype != setup.kv_dtype:
        notes.append(f"its checkpoint asks for keys and values in {plan.kv_dtype}; --kv-dtype bf16 would keep 16 bits")
    if architecture.context and plan.length > architecture.context:
        notes.append(f"{plan.length} tokens are more than the {architecture.context} that the model was made for")
    if setup.engine_version is None:
        notes.append(f"as {setup.engine} {'.'.join(map(str, plan.behaviour.version))} does, the newest that is known")
    return notes


def _settings(setup: Setup, plan: Resolved) -> dict[str, Any]:
    """What the engine is told, or takes by itself."""
    return {
        "tensor_parallel": setup.tensor_parallel,
        "pipeline_parallel": setup.pipeline_parallel,
        "gpu_memory_utilization": plan.fraction,
        "max_model_len": plan.length,
        "max_num_seqs": plan.sequences,
        "max_num_batched_tokens": plan.batched,
        "kv_dtype": plan.kv_dtype,
        "enforce_eager": not setup.cuda_graphs,
        "speculative_tokens": setup.speculative_tokens,
    }


def _data(size: Range, unit: float, digits: int = 3) -> dict[str, float]:
    found = {"low": size.low / unit, "value": size.mid / unit, "high": size.high / unit}
    return {name: round(value, digits) if digits else int(value) for name, value in found.items()}


def _device(name: str) -> Gpu | Cpu:
    """A GPU of that name, or else a CPU. Raises `SizingError` with the nearest GPUs."""
    from slipway.cpus import find_cpu
    from slipway.gpus import find_gpu

    try:
        return find_gpu(name)
    except SizingError as error:
        try:
            return find_cpu(name)
        except SizingError:
            raise error from None


def _slice(name: str, profile: str, ranks: int) -> Gpu:
    """A slice of the GPU of that name. Raises `SizingError` where there is none, or a model would need several."""
    from slipway.gpus import find_gpu

    if ranks > 1:
        what = f"slices of GPUs share nothing, and the model is cut over {ranks}"
        raise SizingError(what, where="--mig", fix="Take --mig out, or --gpus, --tensor-parallel, --pipeline-parallel")
    return find_gpu(name).cut(profile)


def _engine(name: str) -> Engine:
    from slipway.memory.types import Engine
    from slipway.units import quoted

    found = ENGINES.get(name.strip().lower().replace("-", "."), ENGINES.get(name.strip().lower().replace("-", "")))
    if found is None:
        known = ", ".join(get_args(Engine))
        raise SizingError(
            f"{quoted(name)} is no engine that Slipway knows", where="--engine", fix=f"Write one of {known}"
        )
    return cast("Engine", found)


def _kv_dtype(engine: str, name: str) -> str:
    from slipway.units import quoted

    plain = name.strip().lower()
    found = SPELLINGS.get(plain, plain)
    if found not in KV_DTYPES[engine]:
        fix = f"Write one of {', '.join(KV_DTYPES[engine])}"
        raise SizingError(f"{quoted(name)} is no KV cache type of {engine}", where="--kv-dtype", fix=fix)
    return found


def _cut(gpus: int | None, tensor: int | None, pipeline: int) -> int:
    """Ranks that every layer is cut over. Raises `SizingError` when there are not as many GPUs as the cuts need."""
    _optional("--gpus", gpus, MOST_RANKS)
    _optional("--tensor-parallel", tensor, MOST_RANKS)
    _between("--pipeline-parallel", pipeline, 1, MOST_RANKS)
    if tensor is None:
        tensor = max(1, (gpus or 1) // pipeline)
    if gpus is not None and tensor * pipeline > gpus:
        fix = f"Write --gpus {tensor * pipeline}, or cut it less"
        raise SizingError(f"{tensor} × {pipeline} ranks need more than {gpus} GPUs", where="--gpus", fix=fix)
    return tensor


def _share(value: float | None) -> float | None:
    # A comparison that is true of good values only: NaN is refused too.
    if value is not None and not 0 < value <= 1:
        raise SizingError(
            f"{value} is no share of the memory", where="--gpu-memory-utilization", fix="Write one above 0 and up to 1"
        )
    return value


def _optional(option: str, value: int | None, high: int) -> int | None:
    return None if value is None else _between(option, value, 1, high)


def _between(option: str, value: int, low: int, high: int) -> int:
    if not low <= value <= high:
        raise SizingError(f"{value} is out of range", where=option, fix=f"Write a whole number from {low} to {high}")
    return value
