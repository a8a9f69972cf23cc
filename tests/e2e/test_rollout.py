"""A driver rolled through machines of the local stack under load: refused by one host, which rolls back, and then done.

GPUs and NVIDIA's packages are stubs; everything else is real (`tests/support/gpu_stack`). The tests go in order, on one
stack. `make rollout-demo` shows the same on four machines.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.gpu_stack import GpuStack, gpu_stack
from tests.support.rollout import roll

pytestmark = [pytest.mark.hosts, pytest.mark.pulumi, pytest.mark.slow]

OLD, NEW = "e2e-580", "e2e-620"
DRIVERS = {OLD: "580.159.03", NEW: "620.70.06"}
CANARY, SECOND = "e2e-0", "e2e-1"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GpuStack]:
    with gpu_stack(tmp_path_factory.mktemp("rollout") / "e2e", DRIVERS, 2, print) as stack:
        stack.install()
        yield stack


def test_the_first_up_gives_engines_their_gpu(stack: GpuStack) -> None:
    assert stack.drivers() == dict.fromkeys((CANARY, SECOND), DRIVERS[OLD])
    seen = stack.on_all("docker exec slipway-engine-0 ls /dev/nvidia0 /dev/nvidiactl")
    assert seen == dict.fromkeys((CANARY, SECOND), "/dev/nvidia0\n/dev/nvidiactl")


def test_a_host_whose_driver_does_not_come_up_rolls_back_and_the_others_are_not_touched(stack: GpuStack) -> None:
    before = stack.started()
    stack.set_faults(CANARY, f"version-mismatch {DRIVERS[OLD]}")
    rolled = roll(stack, NEW, print)
    said = rolled.run.diagnostics()
    assert rolled.run.exit != 0
    assert "Traceback" not in said
    canary, second = rolled.hosts
    assert f"it was rebooted (module {DRIVERS[OLD]} is loaded, {DRIVERS[NEW]} is installed)" in canary.said, said
    assert f"The host keeps release {OLD}" in canary.said, said
    assert (canary.after, second.after, second.out) == (OLD, OLD, 0)
    assert canary.out > 0
    assert (rolled.load.failed, canary.failed) == ([], 0)
    assert canary.answered > 0, "the other host carries on"
    assert stack.drivers() == dict.fromkeys((CANARY, SECOND), DRIVERS[OLD])
    assert [stack.ask(index) for index in range(2)] == [200, 200]
    assert stack.started()[1] == before[1], "the second host was touched"


def test_the_next_up_brings_the_driver_to_all_and_fails_no_request(stack: GpuStack) -> None:
    stack.set_faults(CANARY)
    rolled = roll(stack, NEW, print)
    assert rolled.run.exit == 0, rolled.run.diagnostics()
    assert rolled.load.failed == []
    assert [(host.name, host.wave, host.after) for host in rolled.hosts] == [(CANARY, 0, NEW), (SECOND, 1, NEW)]
    for host in rolled.hosts:
        assert host.out > 0
        assert host.answered > 0
        assert {"drain", "packages", "reboot", "serve"} <= host.steps.keys()
    assert stack.drivers() == dict.fromkeys((CANARY, SECOND), DRIVERS[NEW])
    assert [stack.ask(index) for index in range(2)] == [200, 200]
    assert stack.project.preview("--expect-no-changes").exit == 0
