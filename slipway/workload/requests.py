"""A file of real requests, one JSON object a line, read into lengths and hours."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from slipway.errors import SizingError
from slipway.units import quoted
from slipway.workload.types import Lengths, Workload

MAX_LINES = 2_000_000
MAX_LINE = 1_000_000
"""characters"""
MAX_TOKENS = 10_000_000
"""of one prompt or answer, as in `Lengths`"""
MAX_DAYS = 366
SHOWN = 5
"""bad lines that are named; the others are counted"""

HOUR, DAY, WEEK = 3600.0, 86_400.0, 604_800.0
MONDAY = 345_600.0
"""the first Monday of Unix time, 5 January 1970: weeks start there, at midnight UTC"""

KEYS = (("prompt_tokens", "completion_tokens"), ("input_tokens", "output_tokens"))
"""of OpenAI's chat completions, and of its responses"""
TIMES = ("timestamp", "created", "created_at")


@dataclass(frozen=True)
class Requests:
    """What a file of real requests says of a workload."""

    count: int
    prompt: Lengths
    output: Lengths
    longest: int
    """tokens of the longest request, prompt and answer together"""
    requests_per_second: float | None
    """of the busiest hour; None without timestamps, or where all are of one second"""
    profile: tuple[float, ...] | None
    """of 24 hours, or of 168 from Monday on, UTC; None where timestamps cover less than a day"""
    notes: tuple[str, ...]

    def fill(self, workload: Workload) -> Workload:
        """The workload with what the file says where it says nothing itself."""
        tails = (self.prompt.p95 or 0) + (self.output.p95 or 0)
        found: dict[str, object] = {"prompt": self.prompt, "output": self.output, "context": max(self.longest, tails)}
        if workload.concurrency is None and workload.requests_per_second is None and workload.profile is None:
            key = "profile" if self.profile is not None else "requests_per_second"
            found[key] = getattr(self, key)
        return workload.model_copy(
            update={key: value for key, value in found.items() if getattr(workload, key) is None}
        )


@dataclass(frozen=True)
class _Request:
    prompt: int
    output: int
    time: float | None


class _BadLineError(Exception):
    """What is wrong with a line."""


def read_requests(text: str, *, where: str = "requests") -> Requests:
    """Lengths and hours of a JSON-lines file. Each line has `prompt_tokens` and `completion_tokens` (or `input_tokens`
    and `output_tokens`), at the top or in `usage`, and may have `timestamp` or `created`: Unix seconds or ISO 8601.

    p95 is the nearest rank: the smallest length that at least 95 of 100 requests do not exceed.
    Raises SizingError: no requests, bad lines (by number), more than two million lines, timestamps over a year apart.

    >>> found = read_requests('{"usage": {"prompt_tokens": 100, "completion_tokens": 20}}')
    >>> found.prompt.mean, found.output.p95, found.profile
    (100, 20, None)
    """
    found: list[_Request] = []
    bad: list[str] = []
    bad_count = 0
    for number, line in enumerate(text.split("\n"), 1):
        if number > MAX_LINES:
            raise SizingError(f"more than {MAX_LINES} lines", where=where, fix="Give a sample of them")
        if not line.strip():
            continue
        try:
            found.append(_request(line))
        except _BadLineError as error:
            bad_count += 1
            if len(bad) < SHOWN:
                bad.append(f"line {number}: {error}")
    if bad:
        more = f"; and {bad_count - len(bad)} more" if bad_count > len(bad) else ""
        fix = 'Each line is an object such as {"prompt_tokens": 812, "completion_tokens": 96, "timestamp": 1767225600}'
        raise SizingError("; ".join(bad) + more, where=where, fix=fix)
    if not found:
        raise SizingError("no request in it", where=where, fix="Give at least one line, better a week of them")
    rate, profile, notes = _hours([request.time for request in found], where)
    return Requests(
        count=len(found),
        prompt=_lengths([request.prompt for request in found]),
        output=_lengths([request.output for request in found]),
        longest=max(request.prompt + request.output for request in found),
        requests_per_second=rate,
        profile=profile,
        notes=(f"{len(found)} requests", *notes),
    )


def _request(line: str) -> _Request:
    if len(line) > MAX_LINE:
        raise _BadLineError(f"longer than {MAX_LINE} characters")
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        raise _BadLineError("no JSON") from None
    if not isinstance(entry, dict):
        raise _BadLineError("no object")
    usage = entry.get("usage", entry)
    if not isinstance(usage, dict):
        raise _BadLineError('"usage" is no object')
    prompt_key, output_key = next((keys for keys in KEYS if keys[0] in usage), KEYS[0])
    if output_key not in usage and "total_tokens" in usage:
        # A usage object of embeddings has no answer: only the prompt, and the total that equals it.
        usage = usage | {output_key: 0}
    prompt, output = _tokens(usage, prompt_key), _tokens(usage, output_key)
    time = next((entry[key] for key in TIMES if entry.get(key) is not None), None)
    return _Request(prompt, output, None if time is None else _seconds(time))


def _tokens(usage: dict[str, object], key: str) -> int:
    tokens = usage.get(key)
    if tokens is None:
        raise _BadLineError(f'no "{key}"')
    if not isinstance(tokens, int) or isinstance(tokens, bool) or not 0 <= tokens <= MAX_TOKENS:
        raise _BadLineError(f"{key} is {quoted(tokens)}, no number of tokens")
    return tokens


def _seconds(time: object) -> float:
    """Unix seconds of a number or of ISO 8601 (UTC where it names no zone)."""
    if isinstance(time, (int, float)) and not isinstance(time, bool):
        # Milliseconds, microseconds and nanoseconds of our time are above any second of it.
        for factor in (1.0, 1e3, 1e6, 1e9):
            if 0 <= time < 1e11 * factor:
                return float(time) / factor
    if isinstance(time, str) and len(time) <= 40:
        with suppress(ValueError, OverflowError):
            moment = datetime.fromisoformat(time)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    raise _BadLineError(f"{quoted(time)} is no time")


def _lengths(tokens: list[int]) -> Lengths:
    """Mean (rounded up) and nearest-rank p95, 1 at least: an answer of no tokens still costs its prompt."""
    tokens.sort()
    mean = max(1, -(-sum(tokens) // len(tokens)))
    return Lengths(mean=mean, p95=max(mean, tokens[-(-len(tokens) * 95 // 100) - 1]))


def _hours(times: list[float | None], where: str) -> tuple[float | None, tuple[float, ...] | None, tuple[str, ...]]:
    """Rate of the busiest hour, the profile, and what was made of the timestamps."""
    known = sorted(time for time in times if time is not None)
    if not known:
        return None, None, ("no timestamps: lengths only",)
    if len(known) < len(times):
        raise SizingError(
            f"{len(times) - len(known)} of {len(times)} lines have no timestamp",
            where=where,
            fix="Give one in every line, or in none",
        )
    start, end = known[0], known[-1]
    span = end - start
    if span > MAX_DAYS * DAY:
        raise SizingError(
            f"timestamps from {_date(start)} to {_date(end)}, more than {MAX_DAYS} days apart",
            where=where,
            fix="Give requests of a week or a few",
        )
    if span < 1:
        return None, None, ("all requests within one second: lengths only",)
    if span < DAY:
        rate = _busiest(known)
        return rate, None, (f"timestamps cover {span / HOUR:.1f} hours, less than a day: the busiest hour only",)
    slots = int((WEEK if span >= WEEK else DAY) / HOUR)
    counts, seconds = [0] * slots, [0.0] * slots
    for time in known:
        counts[_slot(time, slots)] += 1
    hour = start
    while hour < end:
        following = min(end, (hour // HOUR + 1) * HOUR)
        seconds[_slot(hour, slots)] += following - hour
        hour = following
    profile = tuple(count / time for count, time in zip(counts, seconds, strict=True))
    return max(profile), profile, (f"hours of a {'week' if slots > 24 else 'day'} over {span / DAY:.1f} days, UTC",)


def _slot(time: float, slots: int) -> int:
    return int((time - MONDAY) // HOUR) % slots


def _busiest(known: list[float]) -> float:
    """Requests a second of the busiest hour that starts with a request; over the whole span where it is shorter."""
    length = min(HOUR, known[-1] - known[0])
    most = first = 0
    for last, time in enumerate(known):
        while time - known[first] > length:
            first += 1
        most = max(most, last - first + 1)
    return most / length


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()
