"""`slipway:index:Gate`: stands between two waves; opens when the hosts behind it are as well as they were."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeVar

from bootstrap.plugin.codec import UNKNOWN, Values
from bootstrap.plugin.operation import Operation
from bootstrap.plugin.resource import Failure, Input, Output, Resource
from bootstrap.plugin.resources.connecting import READ_DEADLINE, open_session, real_connect
from bootstrap.plugin.resources.judgement import (
    TIMES,
    Figures,
    Finding,
    Reading,
    baselines,
    figures,
    judge,
    kept_times,
    known_times,
    repeated,
    unwell,
)
from bootstrap.plugin.resources.validation import parse, problems
from slipway.errors import CancelledError, ServiceError, SlipwayError
from slipway.limits import Limits

if TYPE_CHECKING:
    from bootstrap.plugin.resources.connecting import Connect
    from slipway.desired import Connection

Answer = TypeVar("Answer")

HOSTS_AT_ONCE = 32
TELL_EVERY = 1.0
"""seconds between two status lines"""
METRICS_URL = "http://127.0.0.1:8404/metrics"
LOOK_EVERY = 10.0
"""seconds between two looks at the hosts: what a regression costs before the bake stops"""


@dataclass(frozen=True)
class GateEdge:
    """What this resource calls; `bootstrap.ssh`, or a fake."""

    connect: Connect
    look_every: float = LOOK_EVERY


class Gate(Resource):
    """Looks once when it is created: nothing served on the hosts of a new wave before, so nothing is there to compare
    with. Bakes when `triggers` changed; with no time to bake it looks once, and forgets what was usual. It keeps
    nothing of a failure: the next `up` asks."""

    token = "slipway:index:Gate"  # noqa: S105
    about = "Watches the hosts of a wave for the bake time before the next wave may start: traffic, restarts, Xids."
    inputs = (
        Input("connections", "array", "hosts of the wave: slipway.desired.Connection, each"),
        # What is asked is of no matter until the next change asks it: only `triggers` and another wave are a change.
        Input("bake_seconds", "number", "how long the hosts are watched", quiet=True),
        Input("triggers", "object", "fingerprints of what the wave changed", required=False),
        Input("metrics_url", "string", "on the host", required=False, quiet=True, default=METRICS_URL),
        Input("engines", "array", "URLs of the engines' metrics, on the host", required=False, quiet=True),
        Input("peers", "array", "hosts not yet changed: slipway.desired.Connection, each", required=False, quiet=True),
        Input("bake_first", "boolean", "whether it bakes when created, too", required=False, quiet=True, default=False),
        Input("limits", "object", "what a regression is: slipway.limits.Limits", required=False, quiet=True),
    )
    outputs = (
        Output("figures", "object", "host to mean times in seconds, what the next passage is held against"),
        Output("requests", "object", "host to requests seen in the bake time"),
    )

    def __init__(self, edge: GateEdge | None = None) -> None:
        self._edge = edge

    def check(self, inputs: Values) -> list[Failure]:
        from slipway.desired import Connection  # noqa: PLC0415  pydantic loads slowly

        failures = _negative(inputs, ("bake_seconds",), ()) + _limits_failures(inputs.get("limits"))
        for name in ("connections", "peers"):
            for index, connection in enumerate(_known(inputs.get(name))):
                failures += problems(Connection, connection, (name, index))
        failures += [
            Failure(("engines", index), "must be a URL")
            for index, url in enumerate(_known(inputs.get("engines")))
            if url is not UNKNOWN and not (isinstance(url, str) and url.startswith(("http://", "https://")))
        ]
        return failures

    def create(self, operation: Operation, inputs: Values) -> tuple[str, Values]:
        passage = _Passage(self._edge or GateEdge(real_connect()), operation, inputs)
        return operation.name, passage.ask({}) if inputs["bake_first"] else passage.look()

    def update(self, operation: Operation, resource_id: str, inputs: Values, outputs: Values) -> Values:
        del resource_id
        if inputs.get("triggers") == outputs.get("triggers"):
            return outputs
        passage = _Passage(self._edge or GateEdge(real_connect()), operation, inputs)
        return passage.ask(known_times(outputs.get("figures"), outputs.get("latency")))


class _Passage:
    """One time that a gate asks."""

    def __init__(self, edge: GateEdge, operation: Operation, inputs: Values) -> None:
        from slipway.desired import Connection  # noqa: PLC0415  pydantic loads slowly

        self._edge, self._operation = edge, operation
        self._url: str = inputs["metrics_url"]
        self._engines: list[str] = inputs.get("engines") or []
        self._seconds: float = inputs["bake_seconds"]
        self._limits = Limits(**inputs.get("limits") or {})
        self._members = [parse(Connection, one) for one in inputs["connections"]]
        self._peers = [parse(Connection, one) for one in inputs.get("peers") or []]

    def ask(self, last: dict[str, dict[str, float]]) -> Values:
        """Who lets a wave pass unwatched accepts what it is: what was before it is no baseline any more."""
        return self.bake(last) if self._seconds else self.look()

    def look(self) -> Values:
        """One reading; nothing to compare with."""
        found = {name: tuple(unwell(None, reading)) for name, reading in self._read(self._members).items()}
        self._stop(found, "")
        return {"figures": {}, "requests": {}}

    def bake(self, last: dict[str, dict[str, float]]) -> Values:
        """Watch for the bake time; raises `ServiceError` as soon as a host is worse than it may be."""
        # Only where something is not known from before, the hosts of later waves have to say.
        peers = [] if all(last.get(host.name, {}).keys() >= set(TIMES) for host in self._members) else self._peers
        first = self._read(self._members)
        first_peers = self._read_peers(peers)
        self._stop({name: tuple(unwell(reading, reading)) for name, reading in first.items()}, "")
        passed, before = 0.0, dict[str, tuple[Finding, ...]]()
        while True:
            passed += self._wait(passed)
            at_end = passed >= self._seconds
            latest = self._read(self._members)
            others = self._read_peers([peer for peer in peers if peer.name in first_peers])
            seen = self._figures(first, latest)
            compared = self._figures(first_peers, others)
            found = {
                name: judge(first[name], reading, seen[name], baselines(last.get(name, {}), compared), self._limits)
                for name, reading in latest.items()
            }
            stops = {name: now if at_end else repeated(now, before.get(name, ())) for name, now in found.items()}
            self._stop(stops, f" after {passed:.0f} s of {self._seconds:.0f} s")
            if at_end:
                break
            before = found
        self._tell(latest, seen)
        return {
            "figures": kept_times(last, seen),
            "requests": {name: figure.requests for name, figure in seen.items()},
        }

    def _figures(self, before: Mapping[str, Reading], after: Mapping[str, Reading]) -> dict[str, Figures]:
        return {name: figures(before[name], reading, self._limits.min_requests) for name, reading in after.items()}

    def _stop(self, found: Mapping[str, tuple[Finding, ...]], when: str) -> None:
        """Raises `ServiceError` with every host that has findings, and all of them."""
        bad = {name: findings for name, findings in found.items() if findings}
        if not bad:
            return
        said = {name: "; ".join(finding.text for finding in findings) for name, findings in bad.items()}
        fix = f"See what answers at {self._url} there; it should be the proxy. Then run `pulumi up` again."
        if any(finding.kind != "proxy" for findings in bad.values() for finding in findings):
            fix = (
                "Look at the logs there, set back what was changed, and run `pulumi up` again. Where it is meant to "
                "be so (a slower model, say), set slipway:rollout.bake to 0s for one `pulumi up`."
            )
        raise ServiceError(f"the gate stays shut{when}: {_each_named(said)}", where=", ".join(bad), fix=fix)

    def _tell(self, latest: Mapping[str, Reading], seen: Mapping[str, Figures]) -> None:
        log, few = self._operation.log, self._limits.min_requests
        for name, figure in seen.items():
            log.info(f"{name}: {figure}")
            silent = sorted(set(self._engines) - set(latest[name].engines or {}))
            if silent:
                log.info(f"{name}: no metrics at {', '.join(silent)}; judged by the proxy's alone")
        quiet = sorted(name for name, figure in seen.items() if figure.requests < few)
        if quiet:
            log.info(f"{', '.join(quiet)}: fewer than {few} requests, too few to judge by")

    def _read(self, hosts: list[Connection]) -> dict[str, Reading]:
        """Raises what is wrong when one cannot be read, and a `ServiceError` that names each when several cannot."""
        found = self._each(self._or_error, hosts)
        errors = {name: error for name, error in found.items() if isinstance(error, SlipwayError)}
        if len(errors) == 1:
            raise next(iter(errors.values()))
        if errors:
            raise ServiceError(
                f"the gate cannot look at its hosts: {_each_named({name: e.what for name, e in errors.items()})}",
                where=", ".join(errors),
                fix=next(iter(errors.values())).fix,
            )
        return {name: reading for name, reading in found.items() if isinstance(reading, Reading)}

    def _or_error(self, host: Connection) -> Reading | SlipwayError:
        try:
            return self._reading(host)
        except CancelledError:
            raise
        except SlipwayError as error:
            return error

    def _read_peers(self, hosts: list[Connection]) -> dict[str, Reading]:
        """Those that answer: a host of a later wave that is down, or has nothing yet, does not hold up this one."""
        found = self._each(self._peer, hosts)
        return {name: reading for name, reading in found.items() if reading and reading.proxy}

    def _each(self, read: Callable[[Connection], Answer], hosts: list[Connection]) -> dict[str, Answer]:
        with ThreadPoolExecutor(max_workers=HOSTS_AT_ONCE) as pool:
            return {host.name: found for host, found in zip(hosts, pool.map(read, hosts), strict=True)}

    def _reading(self, host: Connection, deadline: float | None = None) -> Reading:
        from bootstrap.plugin.resources.reading import read_host  # noqa: PLC0415  it loads the facts

        with open_session(self._edge.connect, self._operation, host, deadline) as session:
            return read_host(session, self._url, self._engines)

    def _peer(self, host: Connection) -> Reading | None:
        try:
            return self._reading(host, READ_DEADLINE)
        except CancelledError:
            raise
        except SlipwayError as error:
            self._operation.log.info(f"{host.name}: not compared with: {error}")
            return None

    def _wait(self, passed: float) -> float:
        """Until the next look, or the end; returns how long that was, in seconds."""
        until = min(self._seconds - passed, self._edge.look_every)
        waited = 0.0
        while waited < until:
            self._operation.log.progress(f"watching the hosts for another {self._seconds - passed - waited:.0f} s")
            pause = min(until - waited, TELL_EVERY)
            if self._operation.cancel.wait(pause):
                raise CancelledError(
                    "stopped while watching the hosts",
                    where=self._operation.name,
                    fix="Run `pulumi up` again; it asks again.",
                )
            waited += pause
        return until


def _each_named(said: Mapping[str, str]) -> str:
    """What is said of each host, with its name where there are several."""
    if len(said) == 1:
        return next(iter(said.values()))
    return "; ".join(f"{name}: {text}" for name, text in said.items())


def _limits_failures(limits: Any) -> list[Failure]:
    if not isinstance(limits, dict):
        return []
    known = [field.name for field in fields(Limits)]
    wrong = [Failure(("limits", name), f"known are {', '.join(known)}") for name in limits if name not in known]
    return wrong + _negative(limits, known, ("limits",))


def _negative(values: Values, names: Iterable[str], where: tuple[str, ...]) -> list[Failure]:
    return [
        Failure((*where, name), "must be a number, and not negative")
        for name in names
        if (value := values.get(name, UNKNOWN)) is not UNKNOWN and not (isinstance(value, int | float) and value >= 0)
    ]


def _known(values: Any) -> list[Any]:
    return values if isinstance(values, list) else []
