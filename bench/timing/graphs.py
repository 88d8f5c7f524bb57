"""The clock for calls of a few microseconds, where events and launches cost as much as the kernel."""

from typing import Any

from attnbench.bench.status import WrongResult
from attnbench.bench.timing.clocks import BLOCKING_CYCLES, COLD, Calls, EventClock

KEPT = 3
"""Graphs at a time: whole rotations, and single calls of each input set."""


class GraphClock:
    """Calls captured in one graph with a flush before each; the time of the flushes alone is subtracted.

    The stream is held while the host launches the graph, since a launch takes longer the more a
    graph holds. A call that can't be captured (it waits for the host) raises what the device says.
    """

    cache = COLD
    note = ""

    def __init__(self, events: EventClock) -> None:
        self._device, self._flush = events.device, events.flush
        self.name = f"{events.device.maker}_graph"
        self._graphs: dict[tuple[int, ...], tuple[Any, Any]] = {}

    def sample_ns(self, calls: Calls) -> float:
        """Mean device time of one call; raises WrongResult where the calls add nothing to the flushes."""
        key = tuple(map(id, calls))
        if key not in self._graphs:
            while len(self._graphs) >= KEPT:
                del self._graphs[next(iter(self._graphs))]
            self._graphs[key] = self._capture(calls), self._capture([_nothing] * len(calls))
        with_calls, flushes = (self._replay_ns(graph) for graph in self._graphs[key])
        if with_calls <= flushes:
            raise WrongResult("the captured calls take no time: they left no work in their own stream")
        return (with_calls - flushes) / len(calls)

    def _capture(self, calls: Calls) -> Any:
        module: Any = self._device.graphs
        self._device.synchronize()
        with module.stream(module.Stream()):  # lazy set-up and tuning must not happen while capturing
            for call in calls:
                call()
        self._device.synchronize()
        graph = module.CUDAGraph()
        with module.graph(graph):
            for call in calls:
                self._flush.zero_()
                call()
        return graph

    def _replay_ns(self, graph: Any) -> float:
        start, end = self._device.event(), self._device.event()
        self._device.synchronize()
        self._device.hold(BLOCKING_CYCLES)
        start.record()
        graph.replay()
        end.record()
        self._device.synchronize()
        return start.elapsed_time(end) * 1e6


def _nothing() -> None:
    """The call that a graph of flushes alone makes."""
