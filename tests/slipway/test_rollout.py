from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.rollout import Policy, plan_waves, share

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
