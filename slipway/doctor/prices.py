"""The price that costs and advice are computed with, held against the calendar and against the cloud's own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from slipway.doctor.market import CloudAnswers, CloudWanted
from slipway.doctor.types import Check, NoAnswer, judged
from slipway.offers import HOURS_PER_MONTH, Offer

PRICE_DAYS = 90
"""after so many days a list price is asked for again; clouds of GPUs change theirs several times a year (an
assumption)"""
PRICE_SHARE = 0.02
"""a price that differs by less is the same: two digits of a third party's list"""


def judge_price(group: str, wanted: CloudWanted, said: CloudAnswers, today: date) -> Iterator[Check]:
    """How old the listed price is, and whether the cloud has the same."""
    offer = wanted.offer
    if offer is None:
        where = f"{wanted.instances[0] if wanted.instances else 'it'} in {wanted.region}"
        fix = "Add it to slipway:offers with its price"
        yield Check(group, "price", "not asked", f"no price list knows {where}", "", fix)
        return
    yield price_age(group, offer, today)
    if isinstance(said.prices, NoAnswer):
        yield said.prices.check(group, "price", _amount(offer.price, offer.currency))
        return
    price = said.prices.get(offer.instance)
    if price is None:
        why = f"the cloud lists no price of {offer.instance} in {wanted.zone}"
        yield Check(group, "price", "no answer", why, fix="Look it up there")
        return
    if isinstance(said.currency, NoAnswer) or said.currency != offer.currency:
        whose = said.currency.why if isinstance(said.currency, NoAnswer) else f"the account pays in {said.currency}"
        yield Check(group, "price", "not asked", f"{price:.4g} an hour; {whose}", _amount(offer.price, offer.currency))
        return
    more = (price - offer.price) * HOURS_PER_MONTH * max(1, wanted.servers)
    same = abs(price - offer.price) <= PRICE_SHARE * max(price, offer.price)
    yield judged(
        group,
        "price",
        same,
        found=_amount(price, offer.currency),
        wanted=f"{_amount(offer.price, offer.currency)}, as listed",
        fix="Put the cloud's price into slipway:offers: advice and costs follow the list",
        cost="" if same else f"{more:+.0f} {offer.currency} a month",
    )


def _amount(price: float, currency: str) -> str:
    return f"{price:.4g} {currency} an hour"


def price_age(group: str, offer: Offer, today: date) -> Check:
    """How old the listed price is; a month counts from its first day."""
    try:
        read = date.fromisoformat(offer.date if offer.date.count("-") == 2 else f"{offer.date}-01")
    except ValueError:
        fix = "Add date to the offer, as YYYY-MM-DD or YYYY-MM"
        return Check(group, "price list", "not asked", f"{offer.source} has no date", "", fix)
    age = (today - read).days
    found = f"{offer.instance}: read {age} days ago ({offer.date}; {offer.source})"
    fix = "Look the price up, and put it into slipway:offers with its date"
    return judged(group, "price list", age <= PRICE_DAYS, found=found, wanted=f"at most {PRICE_DAYS} days", fix=fix)
