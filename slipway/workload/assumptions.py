"""From what was said of a workload to one without gaps. Every value that nobody gave is listed, with its reason.

Five answers are enough to start (inference or tuning and real-time or batch; requests a second; lengths; latency; idle
share or complexity), and none is needed: each has a default. Where the defaults come from:

- First token 2 s, each further token 0.1 s: MLPerf Inference's conversational limits for Llama-3.1-8B
  (github.com/mlcommons/inference_policies, inference_rules.adoc). It is twice as fast as people read: 238 words a
  minute (Brysbaert 2019, doi.org/10.1016/j.jml.2019.104047) at 0.75 words a token is 0.19 s a token.
- Prompt 1024, answer 256 tokens: of the size of the conversation trace of Azure's LLM services of November 2023
  (github.com/Azure/AzurePublicDataset, AzureLLMInferenceTrace_conv.csv), rounded to powers of two.
- p95 three times the mean: lengths that spread like an exponential distribution, whose p95 is ln 20 = 2.996 means.
- Of models that make embeddings or scores: passages of 256 tokens, 512 at p95. Texts are cut into such before they are
  embedded, since encoders of BERT's kind read no more than 512 (https://arxiv.org/abs/1810.04805); no source for the
  mean. The answer is no tokens.
- Of models that transcribe: 30 s of sound a request, as Whisper hears at once (https://arxiv.org/abs/2212.04356, 2.2).
  The prompt is its four tokens of language and task; 100 tokens are 75 words, half a minute at 150 words a minute; and
  half of its context is the most that it answers with (whisper/decoding.py of github.com/openai/whisper, sample_len).
- One request a second: no source; a round figure to be replaced.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from slipway.units import format_duration
from slipway.workload.contradictions import refuse_contradictions
from slipway.workload.types import Assumption, Complexity, FullWorkload, Served, Workload

FIRST_TOKEN = 2.0
PER_TOKEN = 0.1
TAIL = 3
"""p95 ÷ mean"""
RATE = 1.0
SEQUENCE = 2048
"""tokens of one training example"""
FIRST_SHARE = 0.25
"""of a limit for the whole answer, kept for its first token"""

WEEK = 168
NIGHT = 20
"""o'clock; where hours without requests are assumed, they start here each day"""


@dataclass(frozen=True)
class _Usual:
    """Lengths that are assumed where nobody gives any; mean and p95."""

    prompt: tuple[int, int]
    output: tuple[int, int]
    why: str


CHAT = _Usual((1024, 3072), (256, 768), "of the size of the conversations in Azure's published trace of 2023")
PASSAGE = _Usual((256, 512), (0, 0), "passages of up to 512 tokens, as texts are cut into for encoders; no source")
SPEECH = _Usual((4, 4), (100, 224), "30 s of speech, as Whisper hears at once")
USUAL = {"generate": CHAT, "transcribe": SPEECH, "embed": PASSAGE, "rerank": PASSAGE}
TAILED = f"{TAIL} × the mean, as lengths that are spread exponentially have it"
ANSWERS = {"embed": "an embedding", "rerank": "a score"}
ANY = Served()


@dataclass
class _Notes:
    """What was assumed so far."""

    made: list[Assumption] = field(default_factory=list)

    def note(self, name: str, value: str, why: str) -> None:
        self.made.append(Assumption(name, value, why))


def assume(workload: Workload, served: Served = ANY) -> FullWorkload:
    """The workload with every value there, as it is of the model that is served; what is assumed of lengths stays
    within what the model was made for. Raises SizingError where what was given contradicts itself.

    >>> full = assume(Workload(requests_per_second=2))
    >>> full.mode, full.prompt_mean, full.prompt_p95, full.context, full.first_token
    ('real-time', 1024, 3072, 4096, 2.0)
    >>> [a.name for a in full.assumed if a.name.startswith("p")]
    ['prompt.mean', 'prompt.p95', 'per_token', 'profile']
    >>> assume(Workload(mode="batch")).per_token
    inf
    >>> passage = assume(Workload(), Served("embed", context=512))
    >>> passage.prompt_p95, passage.output_mean, passage.context, passage.first_token, passage.per_token
    (512, 0, 512, 2.0, inf)
    """
    refuse_contradictions(workload)
    if workload.purpose != "inference":
        return _tuning(workload, served)
    notes = _Notes()
    mode = workload.mode
    if mode is None:
        mode = "real-time"
        notes.note("mode", mode, "somebody may be waiting: the stricter of the two")
    prompt_mean, prompt_p95, output_mean, output_p95 = _lengths(workload, served, notes)
    context = workload.context
    if context is None:
        context, why = _context(prompt_p95, output_p95, served)
        notes.note("context", f"{context} tokens", why)
    first_token = per_token = math.inf
    if mode == "real-time" and served.generates:
        first_token, per_token = _targets(workload, output_p95, notes)
    elif mode == "real-time":
        first_token = _whole(workload, served, notes)
    profile = _profile(workload, _answer_seconds(workload, first_token, per_token, output_mean), notes)
    idle_share = workload.idle_share
    if idle_share is None:
        idle_share = quiet_share(profile)
        why = "hours that see no request at this rate, if requests come independently: the mean of exp(-3600 × rate)"
        notes.note("idle_share", f"{idle_share:.0%}", why)
    return FullWorkload(
        purpose=workload.purpose,
        mode=mode,
        profile=profile,
        prompt_mean=prompt_mean,
        prompt_p95=prompt_p95,
        output_mean=output_mean,
        output_p95=output_p95,
        context=context,
        concurrency=workload.concurrency,
        first_token=first_token,
        per_token=per_token,
        end_to_end=workload.end_to_end,
        idle_share=idle_share,
        complexity=workload.complexity or _complexity(notes),
        assumed=tuple(notes.made),
    )


def quiet_share(profile: tuple[float, ...]) -> float:
    """Share of hours in which nobody asks anything, requests coming independently (Poisson): none in an hour has
    probability exp(-3600 × rate).

    >>> quiet_share((1.0, 0.0))
    0.5
    >>> round(quiet_share((10 / 86400,)), 2)  # ten requests a day
    0.66
    """
    return sum(math.exp(-3600 * rate) for rate in profile) / len(profile)


def _complexity(notes: _Notes) -> Complexity:
    notes.note("complexity", "medium", "leans neither way")
    return "medium"


def _context(prompt_p95: int, output_p95: int, served: Served) -> tuple[int, str]:
    """The longest request, where nobody gives one, and why."""
    wanted = prompt_p95 + output_p95
    context = 1 << (wanted - 1).bit_length()
    whole = context >= (served.context or math.inf) or served.task == "transcribe"
    if served.context is not None and wanted <= served.context and whole:
        return served.context, "the longest that the model was made for"
    return context, f"the next power of two from prompt p95 {prompt_p95} + output p95 {output_p95}"


def _lengths(workload: Workload, served: Served, notes: _Notes) -> tuple[int, int, int, int]:
    """Mean and p95 of prompt and answer. Assumed ones shrink where the context leaves less room for them."""
    usual = USUAL[served.task]
    given = {"prompt": (workload.prompt, usual.prompt), "output": (workload.output, usual.output)}
    if not served.generates:
        del given["output"]
    least, wanted = {}, {}
    for name, (lengths, default) in given.items():
        least[name] = (lengths.p95 or lengths.mean) if lengths else 1
        wanted[name] = (lengths.p95 or lengths.mean * TAIL) if lengths else default[1]
    limit = workload.context or served.context
    room = 1.0
    if limit is not None and sum(wanted.values()) > limit:
        floor = sum(least.values())
        # What is given may be longer than the model allows: that is refused later, with the offers.
        room = max(0.0, (limit - floor) / (sum(wanted.values()) - floor)) if floor < sum(wanted.values()) else 0.0
    squeezed = f", as far as the context of {limit} tokens leaves room" if room < 1 else ""
    values: list[int] = []
    for name, (lengths, default) in given.items():
        p95 = least[name] + int(room * (wanted[name] - least[name]))
        mean = lengths.mean if lengths else min(default[0], max(1, p95 * default[0] // default[1]))
        if lengths is None:
            notes.note(f"{name}.mean", f"{mean} tokens", usual.why + squeezed)
            tail = TAILED if default[1] == TAIL * default[0] else usual.why
            notes.note(f"{name}.p95", f"{p95} tokens", tail + squeezed)
        elif lengths.p95 is None:
            notes.note(f"{name}.p95", f"{p95} tokens", TAILED + squeezed)
        values += [mean, p95]
    if not served.generates:
        left = ": what was given of it does not count" if workload.output else ""
        notes.note("output.mean", "0 tokens", f"the answer is {ANSWERS[served.task]}, not tokens{left}")
        values += [0, 0]
    return values[0], values[1], values[2], values[3]


def _whole(workload: Workload, served: Served, notes: _Notes) -> float:
    """The limit for an answer that comes all at once: it is its own first token."""
    limits = [limit for limit in (workload.first_token, workload.end_to_end) if limit is not None]
    if workload.per_token is not None:
        notes.note("per_token", "no limit", f"the answer is {ANSWERS[served.task]}: no token follows the first")
    if limits:
        if workload.first_token is None:
            notes.note("first_token", format_duration(limits[0]), "end_to_end, as the whole answer comes at once")
        return min(limits)
    why = f"the answer is {ANSWERS[served.task]}, all at once; as long as MLPerf lets a conversation's first token take"
    notes.note("first_token", format_duration(FIRST_TOKEN), why)
    return FIRST_TOKEN


def _targets(workload: Workload, output_p95: int, notes: _Notes) -> tuple[float, float]:
    """Limits for the first token and each further one, such that a long answer keeps `end_to_end`."""
    whole, first, each = workload.end_to_end, workload.first_token, workload.per_token
    if first is None:
        first, why = FIRST_TOKEN, "MLPerf's limit for conversation (Llama-3.1-8B)"
        if whole is not None:
            part = FIRST_SHARE * whole if each is None else max(whole - each * output_p95, FIRST_SHARE * whole)
            if part < first:
                first, why = part, f"its part of end_to_end {format_duration(whole)}"
        notes.note("first_token", format_duration(first), why)
    if each is None:
        each, why = PER_TOKEN, "MLPerf's limit for conversation (Llama-3.1-8B); twice as fast as people read"
        if whole is not None and (whole - first) / output_p95 < each:
            each = (whole - first) / output_p95
            left = f"end_to_end {format_duration(whole)} - first_token {format_duration(first)}"
            why = f"({left}) ÷ output p95 {output_p95}"
        notes.note("per_token", f"{each * 1000:.3g}ms", why)
    return first, each


def _answer_seconds(workload: Workload, first_token: float, per_token: float, output_mean: int) -> float:
    """How long one answer may take, to find the rate behind a number of requests at once."""
    if workload.end_to_end is not None:
        return workload.end_to_end
    if math.isinf(first_token):
        first_token, per_token = FIRST_TOKEN, PER_TOKEN
    return first_token + (per_token * output_mean if output_mean else 0.0)


def _profile(workload: Workload, answer_seconds: float, notes: _Notes) -> tuple[float, ...]:
    """Requests a second, hour by hour."""
    if workload.profile is not None:
        return workload.profile
    rate = workload.requests_per_second
    if rate is None and workload.concurrency is not None:
        rate = workload.concurrency / answer_seconds
        why = f"{workload.concurrency} at once ÷ {answer_seconds:.3g} s an answer (Little's law)"
        notes.note("requests_per_second", f"{rate:.3g}", why)
    elif rate is None:
        rate = RATE
        notes.note("requests_per_second", f"{rate:g}", "a round figure without a source: give your own")
    if not workload.idle_share:
        notes.note("profile", f"{rate:.3g} requests/s in every hour", "steady, as no profile was given")
        return (rate,) * 24
    idle = min(WEEK - 1, round(WEEK * workload.idle_share))
    by_night = sorted(range(WEEK), key=lambda hour: ((hour - NIGHT) % 24, hour))
    quiet = set(by_night[:idle])
    value = f"{rate:.3g} requests/s in {WEEK - idle} of {WEEK} hours of a week, none in the others"
    notes.note("profile", value, f"idle_share {workload.idle_share:g}; quiet hours from {NIGHT}:00 on, every day")
    return tuple(0.0 if hour in quiet else rate for hour in range(WEEK))


def _tuning(workload: Workload, served: Served) -> FullWorkload:
    """A training run: one sequence length, and nobody who waits or asks."""
    notes = _Notes()
    context = workload.context
    if context is None and workload.prompt and workload.output:
        context = (workload.prompt.p95 or workload.prompt.mean) + (workload.output.p95 or workload.output.mean)
        notes.note("context", f"{context} tokens", "prompt and answer of one training example together")
    elif context is None:
        context, why = SEQUENCE, "a common cut-off of training examples; no source beyond usage"
        if served.context is not None and served.context < context:
            context, why = served.context, "the longest that the model was made for"
        notes.note("context", f"{context} tokens", why)
    output = workload.output.mean if workload.output else max(1, context // 2)
    prompt = workload.prompt.mean if workload.prompt else max(1, context - output)
    return FullWorkload(
        purpose=workload.purpose,
        mode="batch",
        profile=(0.0,) * 24,
        prompt_mean=prompt,
        prompt_p95=(workload.prompt and workload.prompt.p95) or prompt,
        output_mean=output,
        output_p95=(workload.output and workload.output.p95) or output,
        context=context,
        concurrency=None,
        first_token=math.inf,
        per_token=math.inf,
        end_to_end=None,
        idle_share=0.0,
        complexity=workload.complexity or _complexity(notes),
        assumed=tuple(notes.made),
    )
