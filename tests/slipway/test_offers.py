"""The CPUs and offers that come with Slipway, and what a replica gets of them."""

import re
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.architectures.catalogue import find
from slipway.cpus import CORE_BANDWIDTH, Cpu, cpus, find_cpu
from slipway.errors import SizingError
from slipway.gpus import PCIE_BANDWIDTH, Gpu, gpus
from slipway.memory.types import Setup
from slipway.offers import Offer, device, euro, offers, rates
from slipway.speed import decode_step, prefill
from slipway.units import GIB


@pytest.mark.parametrize("cpu", cpus().values(), ids=cpus())
def test_every_cpu_is_plausible_and_sourced(cpu: Cpu) -> None:
    assert set(cpu.sources) == {"cores", "bandwidth", "flops", "memory"}
    assert cpu.vcpus in (cpu.cores, 2 * cpu.cores)
    assert 20e9 < cpu.bandwidth / cpu.sockets < 700e9
    assert 10e9 < cpu.flops / cpu.cores < 500e9


def test_the_measured_machine_has_the_bandwidth_that_its_memory_gives() -> None:
    assert find_cpu("EPYC 9175F").bandwidth == pytest.approx(614.4e9)
    assert find_cpu("epyc_9334_2s").bandwidth == pytest.approx(921.6e9)


def test_an_unknown_cpu_gets_the_nearest() -> None:
    with pytest.raises(SizingError, match=r"Write graviton[34] or graviton[34]"):
        find_cpu("graviton5")


@given(st.sampled_from(sorted(cpus())), st.integers(1, 512), st.integers(1, 512))
def test_a_larger_part_of_a_cpu_is_never_less(name: str, small: int, more: int) -> None:
    whole = find_cpu(name)
    one, two = whole.part(small, GIB), whole.part(small + more, GIB)
    assert 1 <= one.cores <= two.cores <= whole.cores
    assert one.sockets == two.sockets == 1
    assert one.bandwidth <= two.bandwidth <= whole.bandwidth / whole.sockets
    assert one.guaranteed is not None
    assert two.guaranteed is not None
    assert one.guaranteed <= two.guaranteed <= two.bandwidth
    assert one.flops <= two.flops <= whole.flops / whole.sockets


@given(st.sampled_from(sorted(cpus())), st.integers(1, 512))
def test_a_few_cores_draw_more_than_their_share(name: str, vcpus: int) -> None:
    """Whose size is far from the socket's: what is promised and what one core can have are apart."""
    whole = find_cpu(name)
    part = whole.part(vcpus, GIB)
    assert part.guaranteed == pytest.approx(whole.bandwidth * min(vcpus / (whole.vcpus or 0), 1 / whole.sockets))
    assert part.bandwidth <= max(part.cores * CORE_BANDWIDTH, part.guaranteed or 0)
    assert part.bandwidth >= min(part.cores * CORE_BANDWIDTH, whole.bandwidth / whole.sockets)


@pytest.mark.parametrize("name", [name for name, cpu in cpus().items() if cpu.sockets > 1])
def test_two_sockets_are_never_slower_than_one(name: str) -> None:
    whole = find_cpu(name)
    model = find("Qwen/Qwen3-8B")
    one, both = (whole.part(whole.vcpus // part, 64 * GIB) for part in (whole.sockets, 1))  # type: ignore[operator]
    steps = [decode_step(model, Setup(cpu, engine="llama.cpp"), 1, 100).mid for cpu in (one, both)]
    assert steps[1] <= steps[0]
    prompts = [prefill(model, Setup(cpu, engine="llama.cpp"), 1000).mid for cpu in (one, both)]
    assert prompts[1] <= prompts[0]
    assert (
        decode_step(model, Setup(both, engine="llama.cpp"), 1, 100).mid
        <= decode_step(model, Setup(whole, engine="llama.cpp"), 1, 100).mid
    )


@pytest.mark.parametrize("offer", offers(), ids=lambda offer: f"{offer.region}-{offer.instance}")
def test_every_offer_is_whole(offer: Offer) -> None:
    assert re.fullmatch(r"20\d\d-\d\d(-\d\d)?", offer.date)
    assert len(offer.source) > 20
    assert offer.price > 0
    assert offer.spot is None or offer.spot <= offer.price
    found = device(offer)
    if offer.gpu:
        assert offer.gpu in gpus()
        assert offer.cpu is None
        assert isinstance(found, Gpu)
        assert 0.2 < euro(offer.price, offer.currency) / offer.gpus < 20
    else:
        assert offer.cpu in cpus()
        assert isinstance(found, Cpu)
        assert found.memory == offer.memory
        assert 0.01 < euro(offer.price, offer.currency) / offer.vcpus < 0.1


def test_every_provider_has_offers_with_and_without_gpus() -> None:
    kinds = {(offer.provider, offer.gpu is not None) for offer in offers()}
    assert kinds == {(provider, gpu) for provider in ("upcloud", "aws", "gcp", "azure") for gpu in (True, False)}


def test_no_offer_is_there_twice() -> None:
    names = [(offer.provider, offer.region, offer.instance) for offer in offers()]
    assert len(names) == len(set(names))


def test_the_rate_is_dated() -> None:
    rate = rates()["USD"]
    assert date.fromisoformat(rate.date).year >= 2026
    assert euro(100, "USD") == pytest.approx(100 * rate.euro)
    assert euro(100, "EUR") == 100


def offer(**more: object) -> Offer:
    base = {
        "provider": "own",
        "instance": "x",
        "vcpus": 8,
        "memory": "32GiB",
        "price": 1,
        "source": "me",
        "date": "2026-11",
    }
    return Offer.model_validate(base | more)


def test_a_link_in_the_offer_overrides_the_gpus_own() -> None:
    found = device(offer(gpu="h100-nvl", gpus=2, link="pcie"))
    assert isinstance(found, Gpu)
    assert (found.link, found.link_bandwidth) == ("pcie", PCIE_BANDWIDTH["5x16"])


def test_an_instance_of_an_unknown_cpu_is_a_small_one() -> None:
    found = device(offer())
    assert isinstance(found, Cpu)
    assert (found.name, found.cores, found.memory) == ("generic-x86", 8, 32 * GIB)


def test_an_offer_with_a_gpu_nobody_knows_is_refused() -> None:
    with pytest.raises(SizingError, match="no GPU that Slipway knows"):
        device(offer(gpu="H900", gpus=1))
