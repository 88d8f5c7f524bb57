"""Clocks: how calls are timed on each kind of device, behind one small interface.

A record names its clock and the state of the caches. No time is a GPU time
unless a GPU's own events measured it.
"""

import gc
from collections.abc import Callable, Sequence
from time import perf_counter_ns
from typing import Protocol

from attnbench.bench.status import WrongResult
from attnbench.bench.timing.device import Device

Calls = Sequence[Callable[[], object]]

STRAY_SHARE = 0.1
STRAY_FLOOR_NS = 100_000
"""Work that continues after the last event is an error when it takes longer than both of these."""

UNSEEN_TIMES = 2.0
"""If a device is busy this many times as long as the events show, it does work that the events don't see."""

BLOCKING_CYCLES = 2_000_000
"""About a millisecond of GPU sleep: long enough for most hosts to enqueue the calls of one sample behind it."""

LONGEST_CYCLES = 64 * BLOCKING_CYCLES
LENGTHEN = 4

WARM = "warm, inputs rotated"
COLD = "cold (L2 flushed before each call)"


class StrayWork(WrongResult):
    """A call left work on the device that its own stream does not wait for, so it can't be timed."""


class Clock(Protocol):
    """Times calls one after the other.

    `note` is what a reader of these times must know, '' where there is nothing.
    """

    name: str
    cache: str
    note: str

    def sample_ns(self, calls: Calls) -> float:
        """Mean time of one of these calls in nanoseconds; they are called once each, in order."""
        ...


class CpuClock:
    """``time.perf_counter_ns`` around the calls, with caches as the previous call left them.

    Python's garbage collector is off meanwhile (as in ``timeit``), since its pauses are not part of a call.
    """

    name = "perf_counter"
    cache = WARM
    note = ""

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


class EventClock:
    """Events around each call, the last cache flushed before it, all enqueued behind a held stream.

    The stream is held by a sleep while the host enqueues, so that gaps between
    launches don't count as device time. Where the device got to the first call before
    the host had enqueued the last one, the times are discarded and taken again
    behind a longer sleep, then with fewer calls; if neither helps, `note` says so.
    Work on another stream is an error and not a fast result.
    """

    cache = COLD

    def __init__(self, device: Device) -> None:
        self.device = device
        self.name = f"{device.maker}_event"
        self.flush = device.flush_buffer()
        self.note = "" if device.can_hold else GAPS_COUNT
        self._cycles, self._burst = BLOCKING_CYCLES, 1 << 20

    def sample_ns(self, calls: Calls) -> float:
        """Mean device time of one call; raises StrayWork."""
        total_ms, done = 0.0, 0
        while done < len(calls):
            burst = calls[done : done + self._burst]
            spent_ms, held = self._burst_ms(burst)
            if held or not self._hold_better(len(burst)):
                total_ms += spent_ms
                done += len(burst)
        return total_ms * 1e6 / len(calls)

    def _burst_ms(self, calls: Calls) -> tuple[float, bool]:
        """Device time of all calls, and whether the stream was held until the last was enqueued."""
        device = self.device
        events = [(device.event(), device.event()) for _ in calls]
        device.synchronize()
        if device.can_hold:
            device.hold(self._cycles)
        for call, (start, end) in zip(calls, events, strict=True):
            self.flush.zero_()
            start.record()
            call()
            end.record()
        held = not events[0][0].query()
        events[-1][1].synchronize()
        waited_ns = device.now_ns()
        device.synchronize()
        stray_ns = device.now_ns() - waited_ns
        total_ms = sum(start.elapsed_time(end) for start, end in events)
        if stray_ns > max(STRAY_FLOOR_NS, STRAY_SHARE * total_ms * 1e6):
            raise StrayWork(f"{stray_ns / 1e3:.0f} us of work went on after the call's own stream had ended")
        return total_ms, held

    def _hold_better(self, calls: int) -> bool:
        """Hold longer, or time fewer calls at once; False where neither is possible, which `note` then says."""
        if self.note:
            return False
        if self._cycles < LONGEST_CYCLES:
            self._cycles *= LENGTHEN
            return True
        if calls > 1:
            self._burst, self._cycles = calls // 2, LONGEST_CYCLES // LENGTHEN
            return True
        self.note, self._cycles, self._burst = GAPS_COUNT, BLOCKING_CYCLES, 1 << 20
        return False

    def look_for_unseen(self, calls: Calls, pace_ns: float) -> None:
        """Raise StrayWork where the device is busy far longer with these calls than `pace_ns` a call accounts for.

        Work on a stream that doesn't wait for the held one may be finished before the first event. So the
        calls are made once with no hold and no flush: when the host has enqueued the last, the device
        can't have more work left than the calls take by their events.
        """
        self.device.synchronize()
        for call in calls:
            call()
        enqueued_ns = self.device.now_ns()
        self.device.synchronize()
        left_ns = self.device.now_ns() - enqueued_ns
        if left_ns > max(STRAY_FLOOR_NS, UNSEEN_TIMES * pace_ns * len(calls)):
            raise StrayWork(
                f"the device was busy for {left_ns / 1e3:.0f} us with {len(calls)} calls that take "
                f"{pace_ns / 1e3:.1f} us each by its own events: work ran on another stream"
            )


GAPS_COUNT = "gaps between kernel launches may be part of the time: the device did not wait until all were enqueued"


class BatchEventClock:
    """One event before all calls and one after them, for devices whose events are too coarse for a single call.

    The stream is not held and nothing is flushed, which the record says.
    """

    cache = WARM

    def __init__(self, device: Device) -> None:
        self.device, self.note = device, GAPS_COUNT
        self.name = f"{device.maker}_event"

    def sample_ns(self, calls: Calls) -> float:
        """Mean device time of one call."""
        start, end = self.device.event(), self.device.event()
        self.device.synchronize()
        start.record()
        for call in calls:
            call()
        end.record()
        end.synchronize()
        self.device.synchronize()
        return start.elapsed_time(end) * 1e6 / len(calls)


def clock_for(device: Device | None) -> Clock:
    """The clock of a device; that of the host without one."""
    if device is None:
        return CpuClock()
    return BatchEventClock(device) if device.kind == "mps" else EventClock(device)
