"""A trial on a simulated GPU: what comes out is known from its virtual time line."""

import math
import os

import pytest

from attnbench.bench.gate.paired import take_trial as running
from attnbench.bench.gate.paired.take_trial import SideFailed, TrialSettings, TrialSide, pinned, trial
from attnbench.bench.records.schema import Comparison, Status
from attnbench.bench.status import RemoteError
from tests.bench.timing.simulated import Hardware
from tests.bench.timing.world import CASE, Kernel, SimulatedPool

A, B = TrialSide("A", "a", "before"), TrialSide("B", "b", "after")


@pytest.fixture
def on(tmp_path):
    """Holds a trial of two kernels on one device."""

    def hold(a, b, hardware=None, number=1, **options):
        pool = SimulatedPool(tmp_path, hardware or Hardware(), {"a": a, "b": b})
        pool.oracle.expect(CASE, 0, ("normal",))
        return trial(CASE, A, B, TrialSettings(pool, 0, **options), number, "screen")

    return hold


@pytest.mark.parametrize("us", [20, 200, 3000])
def test_a_slowdown_comes_out_as_it_is_whatever_the_clock(on, us):
    found = on(Kernel(us=us), Kernel(us=1.03 * us))
    assert found.log_ratio == pytest.approx(math.log(1.03), abs=0.004)
    assert found.aa_control == pytest.approx(0, abs=0.004)


def test_a_clock_that_falls_meanwhile_hits_all_sides_alike(on):
    found = on(Kernel(us=200), Kernel(us=206), Hardware(throttle_after_us=300_000))
    assert max(found.a_ns) > 1.5 * min(found.a_ns), "it fell while sides took turns"
    assert found.log_ratio == pytest.approx(math.log(1.03), abs=0.004)
    assert found.aa_control == pytest.approx(0, abs=0.004)


def test_every_side_has_as_many_calls_and_slow_ones_get_fewer_rounds(on):
    quick, slow = on(Kernel(us=200), Kernel(us=200)), on(Kernel(us=40_000), Kernel(us=40_000))
    assert len(quick.a_ns) == len(quick.b_ns) == len(quick.again_ns) == running.ROUNDS * running.CALLS
    assert len(slow.a_ns) == running.LEAST_ROUNDS * running.SLOW_CALLS


def test_without_a_aa_control_there_are_two_sides(on):
    assert on(Kernel(), Kernel(), aa_control=False).aa_control is None


def test_an_error_is_the_side_s_that_made_it(on):
    def fails(_context):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    with pytest.raises(SideFailed) as caught:
        on(Kernel(), Kernel(strange=fails))
    assert caught.value.side is B
    assert isinstance(caught.value.failure, RemoteError)
    assert caught.value.failure.status is Status.ERROR


def test_what_is_wrong_after_it_was_timed_makes_the_launch_worth_nothing(on, monkeypatch):
    wrong = Comparison(
        output="out",
        family="normal",
        max_error=1.0,
        max_budget=0.1,
        l2_error=1.0,
        l2_budget=0.1,
        worst_index=(0,),
        expected=0.0,
        got=1.0,
        finite=True,
        judged=1,
        outside=1,
    )
    monkeypatch.setattr("attnbench.bench.workers.server.Server.verify", lambda _: wrong)
    with pytest.raises(SideFailed) as caught:
        on(Kernel(), Kernel())
    assert caught.value.failure is wrong


def test_orders_differ_between_launches_and_come_back_with_the_seed(on):
    def order(number, **options):
        calls = []
        on(
            Kernel(strange=lambda _: calls.append("a")),
            Kernel(strange=lambda _: calls.append("b")),
            None,
            number,
            **options,
        )
        return "".join(calls)

    assert order(1) == order(1)
    assert len({order(1), order(2), order(1, shuffle=1)}) == 3


def test_sides_are_pinned_to_the_last_cpus_on_a_cpu_alone():
    cpus = sorted(os.sched_getaffinity(0))
    assert (pinned("cpu", 1).cpus, pinned("cpu", 1).threads) == (tuple(cpus[-1:]), 1)
    assert pinned("cuda", 1).cpus == ()
