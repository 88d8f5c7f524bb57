"""Clocks of every kind of device: the right time from the virtual time line, and what the record says of it."""

import time

import pytest

from attnbench.bench.timing.clocks import CpuClock, StrayWork, clock_for
from attnbench.bench.timing.device import Device, device_of
from attnbench.bench.timing.timer import Timer
from tests.bench.timing.simulated import L2_BYTES, LAUNCH_US, Hardware
from tests.bench.timing.world import Kernel, timer_of


def device(kind, hip=None):
    """A simulated device of that kind, and the context behind it."""
    context = Hardware().context()
    context.torch.version.hip = hip
    return Device(context.torch, kind, lambda: int(context.hardware.host_us * 1e3)), context


SAID = {
    "cuda": ("cuda_event", "cold (L2 flushed before each call)", False),
    "xpu": ("xpu_event", "cold (L2 flushed before each call)", True),
    "mps": ("mps_event", "warm, inputs rotated", True),
}


@pytest.mark.parametrize("kind", SAID)
def test_a_clock_says_what_it_is_and_measures_what_the_device_did(kind):
    here, context = device(kind)
    clock = clock_for(here)
    assert (clock.name, clock.cache, bool(clock.note)) == SAID[kind]
    assert clock.sample_ns([lambda: context.launch(300), lambda: context.launch(500)]) == pytest.approx(
        4e5, rel=0.01
    )


def test_rocm_s_devices_are_cuda_s_under_another_name_with_a_larger_cache():
    here, context = device("cuda", hip="7.0")
    assert clock_for(here).name == "hip_event"
    assert context.flush_bytes == 2 * (256 << 20)


def test_a_flush_writes_twice_what_the_last_cache_holds():
    for kind in ("cuda", "xpu"):
        here, context = device(kind)
        clock_for(here)
        assert context.flush_bytes == 2 * L2_BYTES


@pytest.mark.parametrize("kind", ["xpu", "mps"])
def test_a_whole_timer_runs_where_there_are_no_graphs_and_no_peaks(kind):
    context = Hardware().context()
    here = Device(context.torch, kind, lambda: int(context.hardware.host_us * 1e3))
    kernel, case = Kernel(us=40), timer_of(Kernel()).case
    with timer_of(kernel, context) as plain, Timer(plain.implementation, case, plain.oracle, 0, here) as timer:
        pace = timer.warm_up()
        assert pace == pytest.approx(40_000, rel=0.1)
        assert timer.clock.name == f"{kind}_event"
        assert "gaps between kernel launches" in timer.note
        assert timer.peak_bytes() is None
        assert timer.energy_j(pace) is None
        assert timer.host_ns() == pytest.approx(5000)
        assert timer.verify().ok


def test_work_left_behind_is_refused_without_a_held_stream_too():
    here, context = device("xpu")
    context.new_stream()

    def call():
        context.launch(5)
        context.launch(9000, stream=context.streams[1])

    with pytest.raises(StrayWork):
        clock_for(here).sample_ns([call])


def test_events_of_the_simulated_device_complete_late():
    here, context = device("cuda")
    start, end = here.event(), here.event()
    start.record()
    context.launch(100)
    end.record()
    assert not end.query()
    with pytest.raises(RuntimeError, match="not ready"):
        start.elapsed_time(end)
    end.synchronize()
    assert start.elapsed_time(end) == pytest.approx(0.1 + LAUNCH_US / 1e3)


def test_the_cpu_has_no_device_and_the_host_s_clock():
    assert device_of("cpu") is None
    assert isinstance(clock_for(None), CpuClock)
    start = time.perf_counter_ns()
    sampled_ns = CpuClock().sample_ns([lambda: time.sleep(0.02)] * 3)
    assert 2e7 <= sampled_ns <= (time.perf_counter_ns() - start) / 3  # a busy machine sleeps longer
