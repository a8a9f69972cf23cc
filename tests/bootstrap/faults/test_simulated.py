"""Every fault of the table on a simulated host: each ends as it may, and the next run converges."""

from __future__ import annotations

import pytest

from tests.bootstrap.faults.simulated import FAULTS, Fault, strike


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.strikes}: {fault.name}")
def test_a_fault_ends_as_it_may(fault: Fault) -> None:
    row, host = strike(fault)
    assert row.right, row
    assert not host.hold
    assert not host.flag
    if host.struck:
        assert fault.strikes in host.struck
