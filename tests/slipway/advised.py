"""Advice on a few offers, for tests of what is made of it."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any

from slipway.advice import Advice, advise
from slipway.architectures import catalogue
from slipway.offers import Offer
from slipway.workload import Workload

MODEL = "meta-llama/Llama-3.1-8B-Instruct"
SMALL = "Qwen/Qwen2.5-0.5B-Instruct"
EMBEDDING = "BAAI/bge-m3"
NASTY = '<script>alert("1")</script>&'


def _offer(instance: str, price: float, **more: object) -> Offer:
    base = {"provider": "own", "instance": instance, "region": "here", "vcpus": 16, "memory": "128GiB"}
    return Offer.model_validate(base | {"price": price, "source": "a test", "date": "2026-11"} | more)


OFFERS = (
    _offer("l4", 0.6, gpu="L4", gpus=1),
    _offer("l40s", 1.1, gpu="L40S", gpus=1, spot=0.8, storage_price=0.2),
    _offer("l40s-2", 2.3, gpu="L40S", gpus=2),
    _offer("h100", 1.9, gpu="H100-SXM", gpus=1, spot=1.0),
    _offer("t4", 0.5, gpu="T4", gpus=1),
    _offer("cpu", 0.4, cpu="epyc-genoa"),
)


@cache
def advice(name: str) -> Advice:
    """One of: chat, cpu, batch, nothing, tuning, day, free, nasty, embed."""
    model, workload, offers = MODEL, _WORKLOADS.get(name, {}), OFFERS
    if name == "cpu":
        model, offers = SMALL, OFFERS[-1:]
    if name == "free":
        offers = tuple(offer.model_copy(update={"price": 0.0, "spot": None, "storage_price": None}) for offer in OFFERS)
    if name == "nasty":
        offers = (OFFERS[1].model_copy(update={"instance": NASTY}),)
    if name == "embed":
        model = EMBEDDING
    architecture = catalogue.find(model)
    if name == "nasty":
        architecture = dataclasses.replace(architecture, name=NASTY)
    return advise(architecture, Workload.model_validate(workload), offers, shown=10)


_WORKLOADS: dict[str, dict[str, Any]] = {
    "chat": {"requests_per_second": 2.0},
    "cpu": {"mode": "batch", "requests_per_second": 0.01, "prompt": {"mean": 100}, "output": {"mean": 20}},
    "batch": {"mode": "batch", "profile": (0.0,) * 12 + (5.0,) * 12},
    "nothing": {"requests_per_second": 1.0, "first_token": "1ms"},
    "tuning": {"purpose": "lora"},
    "day": {"profile": (0.0,) * 8 + (1.0,) * 8 + (12.0,) * 8},
}
