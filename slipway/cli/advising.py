"""`slipway advise`: CPU or GPU, which one, how many, at what cost, and why."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slipway.cli.effects import Effects
from slipway.errors import SizingError

if TYPE_CHECKING:
    from slipway.advice.types import Advice

MOST_SHOWN = 20
"""options that get a curve and reasons; each takes about a millisecond"""

Given = Annotated[str | None, typer.Argument(metavar="FILE", help="Take model, workload and offers from a stack file.")]
Stack = Annotated[str | None, typer.Option("--stack", metavar="NAME", help="The same of stacks/Pulumi.NAME.yaml.")]
Model = Annotated[
    str | None, typer.Option("--model", metavar="NAME_OR_PATH", help="Repository id, folder or GGUF file.")
]
Purpose = Annotated[
    str | None, typer.Option("--purpose", metavar="NAME", help="inference, or fine-tuning: full, lora, qlora.")
]
Mode = Annotated[str | None, typer.Option("--mode", metavar="NAME", help="real-time, or batch where nobody waits.")]
Rps = Annotated[str | None, typer.Option("--rps", metavar="RATE", help="Requests a second in the busiest hour.")]
Profile = Annotated[
    str | None, typer.Option("--profile", metavar="FILE", help="Requests a second of 24 hours, or of 168.")
]
Prompt = Annotated[str | None, typer.Option("--prompt", metavar="MEAN[,P95]", help="Tokens of a prompt.")]
Output = Annotated[str | None, typer.Option("--output", metavar="MEAN[,P95]", help="Tokens of an answer.")]
Context = Annotated[int | None, typer.Option("--context", metavar="TOKENS", help="Longest request.")]
Concurrency = Annotated[int | None, typer.Option("--concurrency", metavar="N", help="Requests at once.")]
Ttft = Annotated[str | None, typer.Option("--ttft", metavar="TIME", help="Longest wait for the first token, as 2s.")]
Tpot = Annotated[str | None, typer.Option("--tpot", metavar="TIME", help="Longest time for each token, as 50ms.")]
E2e = Annotated[str | None, typer.Option("--e2e", metavar="TIME", help="Longest time for a whole answer, as 30s.")]
Idle = Annotated[str | None, typer.Option("--idle", metavar="SHARE", help="Hours without any request, as 40%.")]
Complexity = Annotated[
    str | None, typer.Option("--complexity", metavar="NAME", help="What the team can look after: low, medium, high.")
]
RequestFile = Annotated[
    str | None, typer.Option("--requests", metavar="FILE", help="Real requests, a JSON object a line.")
]
WorkloadFile = Annotated[str | None, typer.Option("--workload", metavar="FILE", help="A workload as YAML.")]
Providers = Annotated[list[str] | None, typer.Option("--provider", metavar="NAME", help="Only this one; repeatable.")]
Gpus = Annotated[list[str] | None, typer.Option("--gpu", metavar="NAME", help="Only this GPU; repeatable.")]
Engine = Annotated[str | None, typer.Option("--engine", metavar="NAME", help="vllm, sglang or llama.cpp.")]
EngineVersion = Annotated[str | None, typer.Option("--engine-version", metavar="VERSION", help="Such as 0.21.0.")]
Offers = Annotated[str | None, typer.Option("--offers", metavar="FILE", help="Your own instances and prices, as YAML.")]
Limit = Annotated[int, typer.Option("--limit", metavar="N", min=1, max=1000, help="Rows of the ranking.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Html = Annotated[str | None, typer.Option("--html", metavar="FILE", help="Write a page with plots, too.")]


def add_advise(app: typer.Typer, effects: Effects) -> None:
    from slipway.cli.app import sentences, write

    @app.command("advise")
    @sentences
    def advise_command(  # noqa: PLR0917 - options of a command
        file: Given = None,
        stack: Stack = None,
        model: Model = None,
        purpose: Purpose = None,
        mode: Mode = None,
        rps: Rps = None,
        profile: Profile = None,
        prompt: Prompt = None,
        output: Output = None,
        context: Context = None,
        concurrency: Concurrency = None,
        ttft: Ttft = None,
        tpot: Tpot = None,
        e2e: E2e = None,
        idle: Idle = None,
        complexity: Complexity = None,
        requests: RequestFile = None,
        workload: WorkloadFile = None,
        provider: Providers = None,
        gpu: Gpus = None,
        engine: Engine = None,
        engine_version: EngineVersion = None,
        offers: Offers = None,
        limit: Limit = 10,
        as_json: AsJson = False,
        html: Html = None,
    ) -> None:
        """Say what a model needs: CPU or GPU, which one, how many, at what cost, and why.

        What is not given is assumed, and said to be. On a terminal, without any of it, five questions are asked. That
        nothing meets the targets is an answer too, with what each offer misses; the exit code is 0. Bad input is 2.
        """
        from slipway.cli import workload_options as options

        given: dict[str, Any] = {
            "purpose": purpose,
            "mode": mode,
            "requests_per_second": options.rate("--rps", rps),
            "prompt": options.lengths("--prompt", prompt),
            "output": options.lengths("--output", output),
            "context": context,
            "concurrency": concurrency,
            "first_token": options.duration("--ttft", ttft),
            "per_token": options.duration("--tpot", tpot),
            "end_to_end": options.duration("--e2e", e2e),
            "idle_share": options.share("--idle", idle),
            "complexity": complexity,
        }
        files = {"profile": profile, "requests": requests, "workload": workload}
        asked = _Asked(
            given,
            files,
            tuple(provider or ()),
            tuple(gpu or ()),
            engine,
            engine_version,
            offers,
            min(limit, MOST_SHOWN),
        )
        if file is not None or stack is not None:
            found = _of_stack(effects, _stack_file(file, stack, model), asked)
        else:
            model, asked = _answered(model, asked, as_json)
            found = _of_model(effects, model, asked)
        if html is not None:
            from slipway.cli.page import page

            write(effects, html, page(found))
        if as_json:
            from slipway.cli.advice_data import advice_data

            typer.echo(json.dumps(advice_data(found), indent=2, ensure_ascii=False, allow_nan=False))
            return
        from slipway.cli.advice_table import show_advice

        show_advice(found, limit)


@dataclass(frozen=True)
class _Asked:
    """The options, as far as both ways need them."""

    given: dict[str, Any]
    """fields of the workload; None where nothing was said"""
    files: dict[str, str | None]
    providers: tuple[str, ...]
    gpus: tuple[str, ...]
    engine: str | None
    engine_version: str | None
    offers: str | None
    shown: int


def _stack_file(file: str | None, stack: str | None, model: str | None) -> str:
    if (file is not None and stack is not None) or model is not None:
        raise SizingError("a model and a stack, or two stacks, are named", where="advise", fix="Name one of them")
    return file if file is not None else f"stacks/Pulumi.{stack}.yaml"


def _of_stack(effects: Effects, path: str, asked: _Asked) -> Advice:
    """What a stack file asks for, with the options in place of what it says."""
    from slipway.auto import advised
    from slipway.cli import workload_options as options
    from slipway.cli.app import read_settings
    from slipway.workload import Workload

    settings = read_settings(effects, path)
    if asked.providers:
        raise SizingError(f"the stack's provider is {settings.provider}", where="--provider", fix="Leave it out")
    engine: dict[str, Any] = {}
    if asked.engine is not None:
        engine["name"] = options.engine(asked.engine)
    if asked.engine_version is not None:
        engine["version"] = asked.engine_version
    own = options.own_offers(effects, asked.offers) if asked.offers is not None else ()
    update = {
        "workload": options.workload(effects, asked.given, settings.workload or Workload(), asked.files),
        "gpu": asked.gpus or settings.gpu,
        "offers": (*settings.offers, *own),
        "engine": settings.engine.model_copy(update=engine),
    }
    return advised(settings.model_copy(update=update), shown=asked.shown)


def _of_model(effects: Effects, model: str, asked: _Asked) -> Advice:
    """What a model needs, of all offers."""
    from slipway.advice import advise
    from slipway.cli import workload_options as options
    from slipway.cli.architectures import architecture_of
    from slipway.offers import offers
    from slipway.workload import Workload

    own = options.own_offers(effects, asked.offers) if asked.offers is not None else ()
    replaced = {(offer.provider, offer.instance, offer.region) for offer in own}
    return advise(
        architecture_of(model, effects),
        options.workload(effects, asked.given, Workload(), asked.files),
        (*own, *(item for item in offers() if (item.provider, item.instance, item.region) not in replaced)),
        engine=options.engine(asked.engine) if asked.engine is not None else None,
        engine_version=asked.engine_version,
        providers=asked.providers or None,
        gpus=asked.gpus or None,
        shown=asked.shown,
    )


def _answered(model: str | None, asked: _Asked, as_json: bool) -> tuple[str, _Asked]:
    """Model and workload as given, or as answered where somebody is there to ask and gave nothing of a workload."""
    from slipway.cli import asking

    nothing = not any(value is not None for value in (*asked.given.values(), *asked.files.values()))
    if nothing and not as_json and asking.on_terminal():
        model, given = asking.ask(model)
        return model, replace(asked, given=given)
    if model is None:
        fix = "Write --model and a repository id, a folder or a GGUF file; or name a stack file"
        raise SizingError("no model is named", where="--model", fix=fix)
    return model, asked
