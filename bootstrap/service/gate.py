"""The health gate: what a service must answer before it counts as up.

Units active → health of each engine → the right model → a completion from each engine → one through the proxy with the
API key. Each stage has its own deadline. Every look at an engine looks at its unit too, so that one that exited is
noticed at once and not at the deadline.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NoReturn, TypeVar
from urllib.parse import urlsplit

from bootstrap.log import Log
from bootstrap.service.answers import LATER, Answer, completion_request, completion_text, model_names
from bootstrap.service.layout import NEEDS_CURL, part, parts
from bootstrap.service.logs import tail
from bootstrap.service.policies import COMPLETION, GATE
from bootstrap.service.state import SHOWN, LiveUnit, parse_units
from bootstrap.serving import CA_CERTIFICATE
from bootstrap.session import Command, Session, quote
from bootstrap.waits import Retry, Waits
from slipway.desired import ServiceDesired, Unit
from slipway.errors import ServiceError
from slipway.model_sources import curl_lines

LOOK_SECONDS = 5
"""longest wait for one answer of /health or /v1/models"""

FIX = "Put right what its last lines say, then run `up` again; it goes on from there."


T = TypeVar("T")


class LateError(ServiceError):
    """Not yet what it should be. It becomes a plain `ServiceError`, with last lines, once the deadline has passed."""

    def __init__(self, what: str, unit: Unit | None, said: str = "") -> None:
        super().__init__(what, where="", fix=FIX)
        self.unit, self.said = unit, said


@dataclass
class GateReport:
    """`completion` is what the model answered through the proxy; `seconds` is how long each stage took."""

    completion: str = ""
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass
class Gate:
    """One passage of a service through its gate. `restarts` are the times each unit had been restarted before; more
    of them means that it crashes. With `any_key` a proxy that knows another API key counts as up: a bundle that is put
    back has the key of its time, which nobody has at hand."""

    session: Session
    desired: ServiceDesired
    api_key: str = field(repr=False)
    log: Log
    waits: Waits
    restarts: dict[str, int] = field(default_factory=dict)
    any_key: bool = False

    def run(self) -> GateReport:
        """Raises `ServiceError` naming the check that failed, with the last lines of what failed it."""
        report = GateReport()
        gate = self.desired.gate
        engines = dict(enumerate(gate.engines))

        def stage(name: str, run: Callable[[], None]) -> None:
            started = self.waits.clock()
            run()
            report.seconds[name] = round(self.waits.clock() - started, 3)

        def completions() -> None:
            for index, url in engines.items():
                report.completion = self._complete(f"engine {index}", url, unit=self._unit(url))

        def through_proxy() -> None:
            report.completion = self._complete("the proxy", gate.proxy, unit=self._unit(gate.proxy), proxy=True)

        stage("units", self._units)
        stage("health", lambda: self._ask(gate.health_path, gate.health_deadline, self._judge_health))
        stage("models", lambda: self._ask("/v1/models", gate.models_deadline, self._judge_models))
        stage("completion", completions)
        stage("proxy", through_proxy)
        return report

    # ---- units

    def _units(self) -> None:
        def look() -> None:
            units, _ = self._look("its unit to be active", {})
            waiting = [unit for unit in self.desired.units if not units[unit.name].running]
            if waiting:
                states = ", ".join(f"{unit.name} is {units[unit.name].active}" for unit in waiting)
                raise Retry(LateError(f"{states} after {self.desired.gate.start_deadline:.0f} s", waiting[0]))

        self._until(look, "units to be active", self.desired.gate.start_deadline)

    def _look(self, purpose: str, urls: dict[int, str]) -> tuple[dict[str, LiveUnit], dict[int, Answer]]:
        """Asks systemd for all units and each of `urls` for an answer, in one round trip."""
        names = quote(*(unit.name for unit in self.desired.units))
        lines = [NEEDS_CURL, part("units"), f"systemctl show -p {SHOWN} {names}" if names else ":"]
        for index, url in urls.items():
            ask = f"curl -q -sS -m {LOOK_SECONDS} -w '\\n%{{http_code}}' {quote(url)} 2>/dev/null"
            lines += [part(str(index)), ask]
        result = self.session.run(Command("\n".join([*lines, "exit 0"]), f"wait for {purpose}", deadline=60))
        found = parts(result.stdout)
        units = parse_units(found.get("units", ""))
        for unit in self.desired.units:
            self._check_unit(unit, units.setdefault(unit.name, LiveUnit(unit.name)), purpose)
        return units, {index: Answer.parse(found.get(str(index), "")) for index in urls}

    def _check_unit(self, unit: Unit, live: LiveUnit, purpose: str) -> None:
        crashed = live.sub == "auto-restart" or live.restarts > self.restarts.get(unit.name, 0)
        if live.active in ("failed", "inactive", "deactivating") or crashed:
            how = f"exited with status {live.status}" if live.status else "exited"
            if live.result == "oom-kill":
                how = "was killed for want of memory"
            self._fail(f"{self._called(unit)} {how} while waiting for {purpose}", unit)

    # ---- /health and /v1/models

    def _ask(self, path: str, deadline: float, judge: Callable[[int, Answer], str]) -> None:
        """Asks every engine for `path` until `judge` has nothing to say about its answer."""
        pending = dict(enumerate(self.desired.gate.engines))

        def look() -> None:
            purpose = f"{path} of engine {', '.join(map(str, pending))}"
            _, answers = self._look(purpose, {index: url.rstrip("/") + path for index, url in pending.items()})
            said = ""
            for index, answer in answers.items():
                if verdict := judge(index, answer):
                    said = said or verdict
                else:
                    del pending[index]
            if pending:
                first = next(iter(pending))
                unit = self._unit(self.desired.gate.engines[first])
                what = f"engine {first} does not pass {path} within {deadline:.0f} s ({said})"
                raise Retry(LateError(what, unit, said))

        self._until(look, lambda: f"{path} of engine {', '.join(map(str, pending))}", deadline)

    @staticmethod
    def _judge_health(_: int, answer: Answer) -> str:
        return "" if answer.status == 200 else answer.words

    def _judge_models(self, index: int, answer: Answer) -> str:
        names = model_names(answer)
        wanted = self.desired.gate.model
        if answer.status == 200 and names and wanted not in names:
            found = ", ".join(names)
            self._fail(
                f"engine {index} serves the model {found}, wanted {wanted}",
                self._unit(self.desired.gate.engines[index]),
                "Correct the engine's model or its served name, then run `up` again.",
            )
        return "" if wanted in names else answer.words

    # ---- completions

    def _complete(self, name: str, base: str, *, unit: Unit | None, proxy: bool = False) -> str:
        """One real chat completion; returns its text."""
        gate = self.desired.gate
        purpose = f"a completion from {name}"

        def attempt() -> str:
            answer, said = self._post(base, purpose, proxy=proxy)
            if self.any_key and proxy and answer.status == 401:
                return ""
            text = completion_text(answer).strip()
            if answer.status == 200 and text:
                return text
            if answer.status in LATER:
                self._look(purpose, {})
                what = f"{name} gives no completion within {gate.completion_deadline:.0f} s ({said or answer.words})"
                raise Retry(LateError(what, unit, said or answer.words))
            refused = "the API key" if answer.status in (401, 403) and proxy else "a chat request"
            what = (
                f"refuses {refused}: {answer.words}" if answer.status != 200 else "answers a chat request with no text"
            )
            return self._fail(f"{name} {what}", unit)

        return self._until(attempt, purpose, gate.completion_deadline)

    def _post(self, base: str, purpose: str, *, proxy: bool) -> tuple[Answer, str]:
        seconds = self.desired.gate.completion_deadline
        options: list[tuple[str, str | None]] = [
            ("url", base.rstrip("/") + "/v1/chat/completions"),
            ("silent", None),
            ("show-error", None),
            ("max-time", f"{seconds:.0f}"),
            ("header", "Content-Type: application/json"),
            ("data", completion_request(self.desired.gate.model)),
            ("write-out", "\\n%{http_code}"),
        ]
        if proxy:
            options.append(("header", f"Authorization: Bearer {self.api_key}"))
            if urlsplit(base).scheme == "https":
                options.append(("cacert", CA_CERTIFICATE))
        command = Command(
            "curl -q -K -",
            f"ask for {purpose}",
            stdin=curl_lines(options).encode(),
            deadline=seconds + 10,
            secret=proxy,
            check=False,
        )
        result = self.session.run(command)
        answer = Answer.parse(result.stdout)
        said = result.stderr.strip().removeprefix("curl: ") if answer.status == 0 else ""
        if result.exit in (35, 51, 58, 60, 77):
            self._fail(f"the TLS of {base} is not what {CA_CERTIFICATE} vouches for: {said}", self._unit(base))
        return answer, self._hide(said)

    # ---- helpers

    def _until(self, attempt: Callable[[], T], purpose: str | Callable[[], str], deadline: float) -> T:
        policy = COMPLETION if isinstance(purpose, str) and "completion" in purpose else GATE

        def tell(error: Exception, waited: float) -> None:
            name = purpose if isinstance(purpose, str) else purpose()
            said = getattr(error, "said", "")
            text = f"{self.session.name}: waiting for {name}: {waited:.0f} s of {deadline:.0f} s"
            self.log.progress(f"{text}, {said}" if said else text)

        try:
            return self.waits.until(policy, attempt, deadline=deadline, on_wait=tell)
        except LateError as late:
            self._fail(late.what, late.unit)

    def _fail(self, what: str, unit: Unit | None, fix: str = FIX) -> NoReturn:
        last = tail(self.session, unit, secret=self.api_key) if unit else ""
        raise ServiceError(self._hide(what), where=self.session.name, fix=fix + last)

    def _unit(self, url: str) -> Unit | None:
        port = urlsplit(url).port
        return next((unit for unit in self.desired.units if port in unit.ports), None)

    def _called(self, unit: Unit) -> str:
        """`engine 0 (slipway-engine-0.service)`, where the unit is one."""
        for index, url in enumerate(self.desired.gate.engines):
            if urlsplit(url).port in unit.ports:
                return f"engine {index} ({unit.name})"
        return unit.name

    def _hide(self, text: str) -> str:
        return text.replace(self.api_key, "[secret]") if self.api_key else text
