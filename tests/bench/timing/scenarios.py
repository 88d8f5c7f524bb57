"""What must come out of a device's timing, known from the virtual time line: one function a rule."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from attnbench.bench.case_run import Settings
from attnbench.bench.records.schema import Status
from attnbench.bench.run import run_case
from attnbench.bench.status import WrongResult
from attnbench.bench.timing import conditions
from attnbench.bench.timing.clocks import EventClock, StrayWork
from attnbench.bench.timing.graphs import GraphClock
from attnbench.bench.timing.rounds import Effort
from attnbench.impls.contract import parse_case
from tests.bench.timing.nvml import Nvml
from tests.bench.timing.simulated import Hardware
from tests.bench.timing.world import CASE, Kernel, SimulatedPool, timer_of

EFFORT = Effort(budget_s=5.0, at_least=5, at_most=12)
SETTINGS = Settings(families=("normal",), properties=(), effort=EFFORT, remeasure=1)


def median_us(kernel, hardware=None):
    """What the records would say of `kernel`: from the worker's requests, median of five samples."""
    context = (hardware or Hardware()).context()
    with timer_of(kernel, context) as timer:
        timer.warm_up()
        return sorted(timer.sample_ns() for _ in range(5))[2] / 1e3


def records(kernels, hardware=None, cases=(CASE,), settings=SETTINGS):
    """Records of a whole sweep on a simulated device, by implementation and case."""
    hardware = hardware or Hardware()
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(conditions, "FOREIGN_SHARE", float("inf"))  # the host of the tests may be busy
        patch.setattr(conditions, "STEAL_SHARE", 0.02)
        patch.setitem(__import__("sys").modules, "pynvml", Nvml(hardware))
        pool = SimulatedPool(Path(folder), hardware, kernels)
        return {
            (r.implementation, r.case.id): r
            for case in cases
            for r in run_case(case, list(kernels), pool, settings)
        }


def record(kernel, hardware=None, settings=SETTINGS):
    (found,) = records({"one": kernel}, hardware, settings=settings).values()
    return found


# --- what is timed ------------------------------------------------------------------------------------------------


def launches_do_not_count():
    assert median_us(Kernel(us=2, launches=80)) == pytest.approx(160, rel=0.02)


def a_slow_host_gets_a_longer_hold():
    kernel = Kernel(us=2, launches=60, strange=lambda context: context.touch(1500.0))
    assert median_us(kernel) == pytest.approx(120, rel=0.02)


def more_launches_than_the_queue_holds_are_made_fewer_at_a_time():
    context = Hardware().context()

    def call():
        for _ in range(500):
            context.launch(1)

    clock = EventClock(context.device())
    assert clock.sample_ns([call] * 8) == pytest.approx(500_000, rel=0.01)
    assert not clock.note


def what_no_hold_can_help_is_said():
    with timer_of(Kernel(us=150, launches=2, strange=lambda c: c.capturing or c.synchronize())) as timer:
        timer.warm_up()
        assert "gaps between kernel launches" in timer.note


def caches_are_cold():
    assert median_us(Kernel(us=200, warm_us=120)) == pytest.approx(200, rel=0.01)


def a_flush_is_larger_than_the_cache():
    context = Hardware().context()
    EventClock(context.device())
    assert context.flush_bytes >= 2 * (50 << 20)


def short_calls_are_timed_without_their_flushes():
    assert median_us(Kernel(us=6)) == pytest.approx(6, rel=0.05)


def a_graph_is_launched_behind_a_held_stream():
    context = Hardware().context()
    clock = GraphClock(EventClock(context.device()))
    assert clock.sample_ns([lambda: context.launch(3)] * 50) == pytest.approx(3000, rel=0.05)


def tuning_happens_before_a_graph_is_captured():
    tuned = []

    def tune(context):
        if not tuned:
            context.synchronize()
            tuned.append(True)

    context = Hardware().context()
    clock = GraphClock(EventClock(context.device()))
    assert clock.sample_ns([lambda: (tune(context), context.launch(3))]) == pytest.approx(3000, abs=500)


def samples_are_whole_rotations_so_that_a_graph_serves_again():
    made = []
    for us in range(7, 15):
        with timer_of(Kernel(us=us, strange=lambda _: made.append(1))) as timer:
            timer.warm_up()
            assert timer.calls % 2 == 0
            timer.sample_ns()
            before = len(made)
            timer.sample_ns()
            assert len(made) == before + 2, "an untimed turn of both input sets, and a replay"


def what_a_graph_cannot_hold_stays_with_events():
    with timer_of(Kernel(us=40, strange=lambda context: context.synchronize())) as timer:
        timer.warm_up()
        assert timer.clock.name == "cuda_event"
        assert "not permitted when stream is capturing" in timer.note


def events_are_waited_for():
    context = Hardware().context()
    assert EventClock(context.device()).sample_ns([lambda: context.launch(70)]) == pytest.approx(70_000, rel=0.03)


def clocks_have_risen_before_anything_is_timed():
    hardware = Hardware(ramp_us=20_000)
    with timer_of(Kernel(us=300), hardware.context()) as timer:
        timer.warm_up()
        assert timer.warmup_ns[0] == pytest.approx(300_000, rel=0.01)


# --- what is no result --------------------------------------------------------------------------------------------


def on_another_stream(us):
    def strange(context):
        if len(context.streams) == 1:
            context.new_stream()
        context.launch(us, stream=context.streams[1])

    return strange


def work_that_goes_on_is_refused():
    context = Hardware().context()
    kernel, strange = Kernel(us=5), on_another_stream(30_000)
    with pytest.raises(StrayWork, match="went on after the call's own stream had ended"):
        EventClock(context.device()).sample_ns([lambda: (context.launch(kernel.us), strange(context))])


def work_that_is_done_before_the_clock_looks_is_refused():
    found = record(Kernel(us=1, strange=on_another_stream(60)))
    assert found.status is Status.WRONG
    assert "work ran on another stream" in found.reason


def a_graph_without_work_is_refused():
    context = Hardware().context()
    context.new_stream()
    clock = GraphClock(EventClock(context.device()))
    with pytest.raises(WrongResult, match="left no work in their own stream"):
        clock.sample_ns([lambda: context.launch(50, stream=context.streams[1])])


# --- what stands beside a time ------------------------------------------------------------------------------------


def memory_of_an_earlier_call_is_not_this_one_s():
    context = Hardware().context()
    with context.holding(3 << 20):  # the inputs
        with context.holding(500 << 20):
            pass

        def call():
            with context.holding(7 << 20):
                context.launch(10)

        assert context.device().peak_bytes(call) == 7 << 20


def host_time_is_that_of_the_launch():
    with timer_of(Kernel(us=900, launches=3)) as timer:
        assert timer.host_ns() == pytest.approx(15_000, rel=0.01)


def energy_is_that_of_one_call():
    with timer_of(Kernel(us=1000)) as timer:
        assert timer.energy_j(1e6) == pytest.approx(0.7, rel=0.01)


def a_record_says_what_was_measured_and_how():
    found = record(Kernel(us=200, bytes=5 << 20)).measurement
    assert (found.clock, found.cache, found.timed_region) == (
        "cuda_event",
        "cold (L2 flushed before each call)",
        "fwd",
    )
    assert (found.peak_bytes, found.host_ns) == (5 << 20, 5000)
    assert found.median_ns == pytest.approx(200_000, rel=0.01)
    assert found.energy_j == pytest.approx(0.14, rel=0.05)


# --- what disturbs ------------------------------------------------------------------------------------------------


def throttled_rounds_are_repeated_and_marked():
    found = record(Kernel(us=200), Hardware(throttle_after_us=30_000))
    assert found.status is Status.PASSED
    assert any("clocks were lowered: software thermal slowdown" in note for note in found.notes)
    assert found.conditions.after["sm_mhz"] < 1500


def throttled_rounds_are_right_the_second_time_where_the_clocks_recovered():
    hardware = Hardware()
    nvml = Nvml(hardware, reasons=iter([0, 0x20, 0, 0]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.bench.timing.scenarios.Nvml", lambda _: nvml)
        found = record(Kernel(us=200), hardware)
    assert not found.conditions.disturbance
    assert nvml.asked == 4, "rounds twice, each time with a look before and after"


def slowing_that_has_ended_is_found_in_the_counter():
    hardware = Hardware()
    nvml = Nvml(hardware, slowed=iter([0, int(60e9), int(60e9), int(60e9)]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.bench.timing.scenarios.Nvml", lambda _: nvml)
        found = record(
            Kernel(us=200), hardware, Settings(families=("normal",), properties=(), effort=EFFORT, remeasure=0)
        )
    assert "of the time: thermal slowdown" in found.conditions.disturbance


# --- what survives ------------------------------------------------------------------------------------------------

LONGER = parse_case("b1-h1-s24-d8-full-fp32")


def a_dead_context_ends_one_record():
    calls = []

    def dies_once(context):
        calls.append(1)
        if len(calls) == 30:
            context.die()

    found = records({"one": Kernel(strange=dies_once), "two": Kernel(us=300)}, cases=(CASE, LONGER))
    assert {key: r.status.name for key, r in found.items()} == {
        ("one", CASE.id): "ERROR",
        ("one", LONGER.id): "PASSED",
        ("two", CASE.id): "PASSED",
        ("two", LONGER.id): "PASSED",
    }
    assert "illegal memory access" in found["one", CASE.id].reason


def memory_that_runs_out_is_told():
    found = records({"large": Kernel(bytes=90 << 30), "small": Kernel(bytes=1 << 30)})
    assert found["large", CASE.id].status is Status.OUT_OF_MEMORY
    assert found["small", CASE.id].status is Status.PASSED


def idle_workers_hold_no_memory_that_others_need():
    checked = Settings(families=("normal",), properties=(), timed=False)
    found = records({"first": Kernel(bytes=50 << 30), "second": Kernel(bytes=50 << 30)}, settings=checked)
    assert {r.status for r in found.values()} == {Status.PASSED}
