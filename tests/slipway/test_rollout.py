from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.rollout import MOST_ASKED, Policy, asked_before, plan_waves, share

SIZES = st.integers(1, 30) | st.integers(1, 100).map("{}%".format)
POLICIES = st.builds(
    Policy,
    canary=st.integers(0, 5),
    wave=SIZES,
    bake=st.floats(0, 3600),
    max_unavailable=st.none() | SIZES,
)


@given(st.integers(0, 120), POLICIES)
def test_waves(count: int, policy: Policy) -> None:
    hosts = [f"host-{index}" for index in range(count)]
    waves = plan_waves(hosts, policy)
    assert [name for wave in waves for name in wave.hosts] == hosts, "every host once, in order"
    assert [wave.index for wave in waves] == list(range(len(waves)))
    assert all(wave.hosts for wave in waves)
    limit = count if policy.max_unavailable is None else share(policy.max_unavailable, count, up=False)
    assert all(len(wave.hosts) <= limit for wave in waves)
    first = 1 if policy.canary else 0
    assert all(len(wave.hosts) <= share(policy.wave, count, up=True) for wave in waves[first:])
    if policy.canary and waves:
        assert len(waves[0].hosts) == min(policy.canary, limit, count)
    assert all(wave.bake_seconds == policy.bake for wave in waves[:-1])
    assert not waves or waves[-1].bake_seconds == 0
    assert waves == plan_waves(hosts, policy, dict.fromkeys(hosts)), "as if there were no domains"


@given(st.lists(st.sampled_from([None, "a", "b", "c"]), max_size=60), POLICIES)
def test_domains(given_domains: list[str | None], policy: Policy) -> None:
    domains = {f"host-{index}": domain for index, domain in enumerate(given_domains)}
    hosts = list(domains)
    waves = plan_waves(hosts, policy, domains)
    order = list(dict.fromkeys(given_domains))
    rolled = [name for wave in waves for name in wave.hosts]
    assert rolled == sorted(hosts, key=lambda name: (order.index(domains[name]), hosts.index(name)))
    assert [wave.index for wave in waves] == list(range(len(waves)))
    assert all({domains[name] for name in wave.hosts} == {wave.domain} for wave in waves), "no wave spans two"
    seen = [wave.domain for wave in waves]
    assert list(dict.fromkeys(seen)) == [key for index, key in enumerate(seen) if index == 0 or seen[index - 1] != key]
    limit = len(hosts) if policy.max_unavailable is None else share(policy.max_unavailable, len(hosts), up=False)
    assert all(len(wave.hosts) <= limit for wave in waves)
    first = 1 if policy.canary else 0
    assert all(len(wave.hosts) <= share(policy.wave, len(hosts), up=True) for wave in waves[first:])
    if policy.canary and waves:
        assert len(waves[0].hosts) == min(policy.canary, limit, given_domains.count(order[0]))
    assert all(wave.bake_seconds == policy.bake for wave in waves[:-1])
    assert not waves or waves[-1].bake_seconds == 0


@pytest.mark.parametrize(
    ("domains", "policy", "expected"),
    [
        ("aaabbb", Policy(canary=1, wave="50%"), ["0", "12", "345"]),
        ("ababab", Policy(canary=1, wave="50%"), ["0", "24", "135"]),
        ("aab", Policy(canary=3, wave="100%"), ["01", "2"]),
        ("abc", Policy(canary=0, wave="100%"), ["0", "1", "2"]),
        ("aaaabbbb", Policy(canary=1, wave="50%", max_unavailable=2), ["0", "12", "3", "45", "67"]),
    ],
)
def test_a_domain_is_finished_before_the_next(domains: str, policy: Policy, expected: list[str]) -> None:
    hosts = [str(index) for index in range(len(domains))]
    waves = plan_waves(hosts, policy, dict(zip(hosts, domains, strict=True)))
    assert ["".join(wave.hosts) for wave in waves] == expected


@pytest.mark.parametrize(
    ("count", "policy", "sizes"),
    [
        (1, Policy(), [1]),
        (10, Policy(canary=1, wave="25%"), [1, 3, 3, 3]),
        (20, Policy(canary=1, wave="25%"), [1, 5, 5, 5, 4]),
        (10, Policy(canary=0, wave="100%"), [10]),
        (10, Policy(canary=2, wave=4), [2, 4, 4]),
        (10, Policy(canary=2, wave="50%", max_unavailable="25%"), [2, 2, 2, 2, 2]),
        (3, Policy(canary=1, wave="50%", max_unavailable="10%"), [1, 1, 1]),
    ],
)
def test_sizes(count: int, policy: Policy, sizes: list[int]) -> None:
    waves = plan_waves([str(index) for index in range(count)], policy)
    assert [len(wave.hosts) for wave in waves] == sizes


@pytest.mark.parametrize(
    ("hosts", "policy", "spare"),
    [
        (1, Policy(), (0,)),
        (2, Policy(wave="100%"), (0, 0)),
        (6, Policy(wave=2, max_unavailable=3), (2, 1, 1, 2)),
        # without a limit of its own, the largest wave is one
        (6, Policy(wave=3), (2, 0, 1)),
        (4, Policy(wave=4, max_unavailable=1), (0, 0, 0, 0)),
    ],
)
def test_what_may_be_out_beside_a_wave(hosts: int, policy: Policy, spare: tuple[int, ...]) -> None:
    assert tuple(wave.spare for wave in plan_waves([f"h{i}" for i in range(hosts)], policy)) == spare


@given(st.integers(1, 120), POLICIES)
def test_whom_a_host_asks(count: int, policy: Policy) -> None:
    waves = plan_waves([f"host-{index}" for index in range(count)], policy)
    for wave in waves:
        rest = {name for other in waves if other.index != wave.index for name in other.hosts}
        met = set[str]()
        for host in wave.hosts:
            asked, out = asked_before(host, wave, waves)
            assert len(set(asked)) == len(asked) == min(len(rest), MOST_ASKED)
            assert set(asked) <= rest
            if len(asked) == len(rest):
                assert out == (wave.spare if rest else 0), "a fleet that is asked whole is counted whole"
            else:
                assert (out == 0) == (wave.spare == 0)
                assert out * len(rest) < wave.spare * len(asked) + len(rest), "in proportion, rounded up"
            met |= set(asked)
        assert len(met) >= min(len(rest), len(wave.hosts) * MOST_ASKED), "together they ask as many as they can"
