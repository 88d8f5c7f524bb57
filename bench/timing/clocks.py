"""Clocks: what measures a call on one kind of device, behind one small interface.

A record says which clock measured it and what the caches held. No time is a GPU
time unless a GPU's own events measured it.
"""

import gc
from collections.abc import Callable, Sequence
from time import perf_counter_ns
from types import ModuleType
from typing import Any, Protocol

from bench.timing.status import WrongResult

Calls = Sequence[Callable[[], object]]

STRAY_SHARE = 0.1
STRAY_FLOOR_NS = 100_000
"""Work found after the last event is stray when it takes longer than both of these."""

FLUSH_TIMES_L2 = 2
FALLBACK_L2_BYTES = 128 << 20
BLOCKING_CYCLES = 2_000_000
"""About a millisecond of GPU sleep: long enough to enqueue the calls of one sample behind it."""


class StrayWork(WrongResult):
    """A call left work on the device that its own stream does not wait for: its time can't be told."""


class Clock(Protocol):
    """Times calls one after the other."""

    name: str
    cache: str

    def sample_ns(self, calls: Calls) -> float:
        """Mean time of one of these calls in nanoseconds; they are called once each, in order."""
        ...


class CpuClock:
    """``time.perf_counter_ns`` around the calls; caches hold what the previous call left.

    Python collects no garbage meanwhile (as in ``timeit``): a pause of its own is no time of a call.
    """

    name = "perf_counter"
    cache = "warm, inputs rotated"

    def sample_ns(self, calls: Calls) -> float:
        """Mean wall time of one call."""
        collecting = gc.isenabled()
        gc.disable()
        try:
            start = perf_counter_ns()
            for call in calls:
                call()
            return (perf_counter_ns() - start) / len(calls)
        finally:
            if collecting:
                gc.enable()


class CudaEventClock:
    """CUDA events around each call, L2 flushed before it, all enqueued behind a blocked stream.

    The stream is held by a short sleep while the host enqueues, so that gaps
    between launches don't count as GPU time. Work that goes to another stream
    and is still running after the last event is an error, not a fast result.
    """

    name = "cuda_event"
    cache = "cold (L2 flushed before each call)"

    def __init__(self, torch: ModuleType | Any) -> None:
        """`torch` is the module, or a simulated device of the same shape."""
        self.cuda = torch.cuda
        properties = torch.cuda.get_device_properties()
        l2_bytes = getattr(properties, "L2_cache_size", 0) or FALLBACK_L2_BYTES
        self.flush = torch.empty(FLUSH_TIMES_L2 * l2_bytes // 4, dtype=torch.int32, device="cuda")

    def sample_ns(self, calls: Calls) -> float:
        """Mean GPU time of one call; raises StrayWork."""
        cuda = self.cuda
        events = [(cuda.Event(enable_timing=True), cuda.Event(enable_timing=True)) for _ in calls]
        cuda.synchronize()
        cuda._sleep(BLOCKING_CYCLES)  # noqa: SLF001 - torch has no public way to hold a stream
        for call, (start, end) in zip(calls, events, strict=True):
            self.flush.zero_()
            start.record()
            call()
            end.record()
        events[-1][1].synchronize()
        waited = perf_counter_ns()
        cuda.synchronize()
        stray_ns = perf_counter_ns() - waited
        total_ns = sum(start.elapsed_time(end) for start, end in events) * 1e6
        if stray_ns > max(STRAY_FLOOR_NS, STRAY_SHARE * total_ns):
            raise StrayWork(f"{stray_ns / 1e3:.0f} us of work went on after the call's own stream had ended")
        return float(total_ns) / len(calls)


class CudaGraphClock:
    """Calls captured in one CUDA graph with an L2 flush before each; the flushes' own time is subtracted.

    For calls of a few microseconds, where events and launches cost as much as the
    kernel. A call that can't be captured (it waits for the host) raises what CUDA says.
    """

    name = "cuda_graph"
    cache = "cold (L2 flushed before each call)"

    def __init__(self, events: CudaEventClock) -> None:
        self._cuda, self._flush = events.cuda, events.flush
        self._graphs: dict[tuple[int, ...], tuple[Any, Any]] = {}

    def sample_ns(self, calls: Calls) -> float:
        """Mean GPU time of one call."""
        key = tuple(map(id, calls))
        if key not in self._graphs:
            self._graphs = {key: (self._capture(calls), self._capture([_nothing] * len(calls)))}
        with_calls, flushes = (self._replay_ns(graph) for graph in self._graphs[key])
        return (with_calls - flushes) / len(calls)

    def _capture(self, calls: Calls) -> Any:
        side = self._cuda.Stream()
        with self._cuda.stream(side):  # lazy set-up must not happen while capturing
            for call in calls:
                call()
        self._cuda.synchronize()
        graph = self._cuda.CUDAGraph()
        with self._cuda.graph(graph):
            for call in calls:
                self._flush.zero_()
                call()
        return graph

    def _replay_ns(self, graph: Any) -> float:
        start, end = self._cuda.Event(enable_timing=True), self._cuda.Event(enable_timing=True)
        start.record()
        graph.replay()
        end.record()
        self._cuda.synchronize()
        return float(start.elapsed_time(end)) * 1e6


def _nothing() -> None:
    """The call that a graph of flushes alone makes."""


def clock_for(device: str) -> Clock:
    """The clock of a device ("cpu", "cuda")."""
    if device == "cpu":
        return CpuClock()
    import torch

    return CudaEventClock(torch)
