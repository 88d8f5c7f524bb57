"""The CUDA protocol on a simulated device: asynchronous, with events that complete late and streams that stray."""

import time
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import pytest

from bench.timing.clocks import CpuClock, CudaEventClock, CudaGraphClock, StrayWork


class Graph:
    """What was launched while capturing, launched again by each replay."""

    def __init__(self, device):
        self.device, self.captured_us = device, 0.0

    def replay(self):
        self.device.launch("replay", self.captured_us)


@contextmanager
def capturing(graph):
    before = graph.device.now_us
    yield
    graph.captured_us, graph.device.now_us = graph.device.now_us - before, before


class Device:
    """A device whose work takes simulated microseconds and whose host calls return at once."""

    def __init__(self):
        self.now_us = 0.0
        self.stray_s = 0.0
        self.log = []

    def launch(self, name, us):
        self.log.append(name)
        self.now_us += us

    def torch(self):
        device = self

        class Event:
            def __init__(self, enable_timing):
                assert enable_timing
                self.at = None

            def record(self):
                device.log.append("event")
                self.at = device.now_us

            def synchronize(self):
                device.log.append("wait for event")

            def elapsed_time(self, other):
                return (other.at - self.at) / 1e3

        def synchronize():
            device.log.append("synchronize")
            time.sleep(device.stray_s)
            device.stray_s = 0.0

        cuda = SimpleNamespace(
            Event=Event,
            synchronize=synchronize,
            _sleep=lambda _: device.launch("hold", 1000),
            Stream=lambda: None,
            stream=lambda _: nullcontext(),
            CUDAGraph=lambda: Graph(device),
            graph=capturing,
            get_device_properties=lambda: SimpleNamespace(L2_cache_size=50 << 20),
        )
        flush = SimpleNamespace(zero_=lambda: device.launch("flush", 300))
        self.flush_elements = None

        def empty(elements, dtype, device):
            self.flush_elements = elements
            return flush

        return SimpleNamespace(cuda=cuda, empty=empty, int32="int32")


def test_only_the_call_is_timed_behind_a_held_stream_with_a_cold_cache():
    device = Device()
    clock = CudaEventClock(device.torch())
    assert device.flush_elements * 4 == 2 * (50 << 20)
    calls = [lambda: device.launch("call", 10), lambda: device.launch("call", 30)]
    assert clock.sample_ns(calls) == pytest.approx(20_000)
    call = ["flush", "event", "call", "event"]
    assert device.log == ["synchronize", "hold", *call, *call, "wait for event", "synchronize"]


def test_work_on_another_stream_is_an_error_not_a_fast_result():
    device = Device()
    clock = CudaEventClock(device.torch())

    def call():
        device.launch("call", 1)
        device.stray_s = 0.01

    with pytest.raises(StrayWork, match="went on after the call's own stream had ended"):
        clock.sample_ns([call])


def test_a_graph_of_short_calls_is_timed_without_its_flushes():
    device = Device()
    clock = CudaGraphClock(CudaEventClock(device.torch()))
    calls = [lambda: device.launch("call", 3), lambda: device.launch("call", 5)]
    assert clock.sample_ns(calls) == pytest.approx(4_000)
    captured = device.log.count("call")
    assert clock.sample_ns(calls) == pytest.approx(4_000)
    assert device.log.count("call") == captured, "the second sample replays and captures nothing"


def test_the_cpu_clock_agrees_with_sleep():
    assert CpuClock().sample_ns([lambda: time.sleep(0.02)] * 3) == pytest.approx(2e7, rel=0.2)
