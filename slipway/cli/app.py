"""The commands. Each is a few lines: read, ask the core, print."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, ParamSpec

import typer

from slipway.cli.effects import Effects
from slipway.errors import PlanError, Problem, ReleaseError, SettingsError, SlipwayError

if TYPE_CHECKING:
    from slipway.advice.types import Advice
    from slipway.plan_types import Plan
    from slipway.settings import Settings

P = ParamSpec("P")

StackFile = Annotated[str, typer.Argument(metavar="FILE", help="Stack file, such as stacks/Pulumi.local.yaml.")]
OneRelease = Annotated[str | None, typer.Option("--release", metavar="NAME", help="One release; all of them without.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def build_app(effects: Effects) -> typer.Typer:
    """The application. Exit codes are those of `slipway.errors`; a foreseeable fault is one sentence on stderr."""
    app = typer.Typer(
        name="slipway",
        help="Puts AI models into production: check, plan and render a stack, and pin its releases.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    from slipway.cli.advising import add_advise
    from slipway.cli.examining import add_doctor
    from slipway.cli.fitting import add_fit
    from slipway.cli.status import add_status

    own = (_add_check, _add_schema, _add_lock, _add_releases, _add_plan, _add_render)
    for add in (*own, add_fit, add_advise, add_status, add_doctor):
        add(app, effects)
    return app


def sentences(command: Callable[P, None]) -> Callable[P, None]:
    """Say a `SlipwayError` on stderr and leave with its code; anything else is a fault of ours and keeps its trace."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except SlipwayError as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(error.exit_code) from None

    return wrapped


def _add_check(app: typer.Typer, effects: Effects) -> None:
    @app.command()
    @sentences
    def check(file: StackFile, as_json: AsJson = False) -> None:
        """Say every problem of a stack file. Needs no Pulumi, no network and no host."""
        from slipway.releases import is_locked

        problems: tuple[Problem, ...] = ()
        try:
            release = read_settings(effects, file).release
        except SettingsError as error:
            if not as_json:
                raise
            problems = error.problems
        else:
            if not as_json:
                typer.echo(f"{file}: no problems")
                if not is_locked(release):
                    typer.echo(f"release {release} is not locked yet: run `slipway lock --release {release}`")
                return
        listed = [
            {"key": item.key, "line": getattr(item, "line", None), "what": item.what, "fix": item.fix}
            for item in problems
        ]
        typer.echo(json.dumps({"file": file, "problems": listed}, indent=2, ensure_ascii=False))
        if problems:
            raise typer.Exit(SettingsError.exit_code)


def _add_schema(app: typer.Typer, effects: Effects) -> None:
    @app.command()
    @sentences
    def schema(
        out: Annotated[str | None, typer.Option("--out", metavar="FILE", help="Write it there instead.")] = None,
    ) -> None:
        """Print the JSON Schema of a stack file, for editors."""
        from slipway.settings import schema_text

        if out is None:
            typer.echo(schema_text(), nl=False)
        else:
            write(effects, out, schema_text())


def _add_lock(app: typer.Typer, effects: Effects) -> None:
    @app.command()
    @sentences
    def lock(
        *,
        release: OneRelease = None,
        check: Annotated[bool, typer.Option("--check", help="Write nothing; fail when a lock is stale.")] = False,
        source: Annotated[
            list[str] | None,
            typer.Option("--source", metavar="LINE", help="apt source to take NVIDIA's packages from, as a deb line."),
        ] = None,
        key: Annotated[str | None, typer.Option("--key", metavar="FILE", help="Public key of that source.")] = None,
        image: Annotated[
            list[str] | None,
            typer.Option("--image", metavar="NAME=DIGEST", help="Digest of an image that is pulled by version."),
        ] = None,
        bundle: Annotated[
            str | None,
            typer.Option("--bundle", metavar="FILE", help="Write no lock, but all packages of the one there is."),
        ] = None,
    ) -> None:
        """Write what the releases resolve to: exact versions of all packages. Those without a lock need --release."""
        from slipway.cli.locking import check_locks, current_lock, image_digests, write_lock
        from slipway.releases import is_locked, load_release, load_releases

        if bundle is not None:
            if release is None:
                raise ReleaseError("a bundle is of one release", where="--bundle", fix="Add --release NAME")
            found = load_release(release)
            pins = current_lock(found)
            with _writing(bundle):
                count = effects.write_bundle(found, pins, bundle)
            typer.echo(f"{release}: {count} packages in {bundle}; its README says how a stack file uses it")
            return
        chosen = [load_release(release)] if release else list(load_releases().values())
        if check:
            for line in check_locks(chosen):
                typer.echo(line)
            return
        text_of_key = effects.read_text(key) if key is not None else ""
        for item in chosen:
            if not release and not is_locked(item.name):
                typer.echo(f"{item.name}: not locked; name it to lock it")
                continue
            digests = {**effects.image_digests(), **image_digests(item, image or ())}
            resolved = effects.resolve_packages(item, tuple(source or ()), text_of_key)
            path, text, count = write_lock(item, resolved, digests)
            write(effects, path, text)
            typer.echo(f"{item.name}: {count} packages locked")


def _add_releases(app: typer.Typer, effects: Effects) -> None:
    del effects

    @app.command()
    @sentences
    def releases() -> None:
        """List the releases that a stack file can name."""
        from slipway.cli.locking import describe
        from slipway.releases import load_releases

        for release in load_releases().values():
            typer.echo(describe(release))


def _add_plan(app: typer.Typer, effects: Effects) -> None:
    @app.command()
    @sentences
    def plan(
        file: Annotated[str | None, typer.Argument(metavar="[FILE]", help="Stack file; or name its --stack.")] = None,
        *,
        stack: Annotated[
            str | None, typer.Option("--stack", metavar="NAME", help="The stack of stacks/Pulumi.NAME.yaml.")
        ] = None,
        to: Annotated[
            str | None,
            typer.Option("--to", metavar="RELEASE", help="Say what a roll-out to it changes, takes and leaves up."),
        ] = None,
        as_json: AsJson = False,
    ) -> None:
        """Say what a stack file leads to: hosts, waves, ports, images, deadlines and how they are computed."""
        from slipway.cli.show import plan_data, show_plan

        file = _file_of(file, stack)
        if to is not None:
            _show_rollout(effects, file, to, as_json=as_json)
            return
        made, settings, advice = planned(effects, file)
        if as_json:
            typer.echo(json.dumps(plan_data(made, settings, advice), indent=2, ensure_ascii=False))
        else:
            show_plan(made, settings, advice)


def _add_render(app: typer.Typer, effects: Effects) -> None:
    @app.command()
    @sentences
    def render(
        file: StackFile,
        out: Annotated[str, typer.Option("--out", metavar="DIR", help="Folder to write the files under.")],
    ) -> None:
        """Write the files that a host would get, or the manifests of a cluster. What holds secrets is left out."""
        from slipway.manifests import render_cluster
        from slipway.render import render_host

        made, _, _ = planned(effects, file)
        host = effects.templates("host")
        of_cluster = made.cluster is not None
        files = render_cluster(host, effects.templates("cluster"), made) if of_cluster else render_host(host, made)
        for item in files:
            path = f"{out.rstrip('/')}/{item.path.lstrip('/')}"
            write(effects, path, item.content)
            typer.echo(path)


def read_settings(effects: Effects, file: str) -> Settings:
    """The settings of a stack file. Raises `SettingsError`, also when the file cannot be read."""
    from slipway.settings import parse_stack_file

    try:
        text = effects.read_text(file)
    except UnicodeDecodeError:
        raise SettingsError(file, (Problem("(file)", "this is no UTF-8 text", "Is it a stack file?"),)) from None
    except OSError as error:
        what = f"this cannot be read: {error.strerror or error}"
        raise SettingsError(file, (Problem("(file)", what, "Stack files are stacks/Pulumi.<stack>.yaml"),)) from None
    return parse_stack_file(text, file)


def stack_name(file: str) -> str:
    """`local` of `stacks/Pulumi.local.yaml`; the file's own name where it follows no such pattern."""
    name = file.rsplit("/", 1)[-1].removesuffix(".yaml").removesuffix(".yml")
    return "stack" if name == "Pulumi" else name.removeprefix("Pulumi.")


def _file_of(file: str | None, stack: str | None) -> str:
    if file is not None and stack is None:
        return file
    if stack is not None and file is None:
        return f"stacks/Pulumi.{stack}.yaml"
    what = "neither a stack file nor a stack is named" if file is None else "a stack file and a stack are named"
    raise PlanError(what, where="slipway plan", fix="Write a FILE, or --stack NAME")


def _show_rollout(effects: Effects, file: str, release: str, *, as_json: bool) -> None:
    from slipway.cli.forecasting import forecast_data, show_forecast
    from slipway.forecast import forecast

    now = effects.now()
    old, _, _ = planned(effects, file)
    new, settings, _ = planned(effects, file, release)
    found = forecast(old, new, settings, now)
    if as_json:
        typer.echo(json.dumps(forecast_data(found, new, now), indent=2, ensure_ascii=False))
    else:
        show_forecast(found, new, now)


def _with_release(settings: Settings, file: str, name: str) -> Settings:
    """The settings with another release. Raises `SettingsError` where the rest of them does not go with it."""
    from slipway.releases import load_release
    from slipway.settings.explain import dotted
    from slipway.settings.rules import findings

    load_release(name)
    other = settings.model_copy(update={"release": name})
    wrong = tuple(Problem(dotted(item.loc), item.what, item.fix) for item in findings(other))
    if wrong:
        raise SettingsError(f"{file} with release {name}", wrong)
    return other


def planned(effects: Effects, file: str, to: str | None = None) -> tuple[Plan, Settings, Advice | None]:
    """The plan of a stack file, its settings with what advice chose, and the advice; with the release `to` if given."""
    from slipway.auto import settled
    from slipway.plan import make_plan, with_placeholders
    from slipway.releases import load_lock, load_release

    asked = read_settings(effects, file)
    settings, advice = settled(asked if to is None else _with_release(asked, file, to))
    release = load_release(settings.release)
    images = with_placeholders(release, effects.built_images())
    made = make_plan(settings, release, load_lock(release.name), images, stack=stack_name(file), advice=advice)
    return made, settings, advice


def write(effects: Effects, path: str, text: str) -> None:
    """Write a file, and make the folders above it. Raises `SlipwayError`."""
    with _writing(path):
        effects.write_text(path, text)


@contextmanager
def _writing(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SlipwayError(
            f"this cannot be written: {error.strerror or error}", where=path, fix="Check the path and its permissions"
        ) from None
