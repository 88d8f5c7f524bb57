"""One implementation bound to one case, ready to be sampled."""

from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from itertools import cycle
from statistics import median
from types import TracebackType
from typing import Self

import torch
from torch import Tensor

from attnbench.bench.agreement.compare import compare
from attnbench.bench.agreement.effects import filled_allocations
from attnbench.bench.agreement.inputs import make_inputs
from attnbench.bench.agreement.observe import poison_allocator
from attnbench.bench.agreement.oracle import Oracle
from attnbench.bench.agreement.relaxed import relaxed
from attnbench.bench.records.schema import Comparison
from attnbench.bench.timing.clocks import Clock, EventClock, clock_for
from attnbench.bench.timing.device import Device, device_of
from attnbench.bench.timing.graphs import GraphClock
from attnbench.impls.contract import Call, Case, Implementation, Inputs, Outputs, Refusal

INPUT_SETS = 2
HOST_CALLS = 20
ENERGY_NS = 300_000_000
"""Calls are repeated this long for the energy counter, which is updated every few milliseconds."""

ENERGY_CALLS = 20_000

GRAPH_UNDER_NS = 100_000
"""Calls shorter than this are timed in a CUDA graph."""

SAMPLE_NS = 2_000_000
BURST_NS = 200_000
"""Least duration of what `burst_ns` times; shorter calls are grouped."""

WAKING_NS = 1_000_000
WARM_UNDER_NS = 10_000_000
"""A sample begins with two untimed calls where a call is shorter than the first, with one below the second."""

SETTLE_NS = 25_000_000
"""A device is called this long before anything is timed, since its clocks rise only under load."""

CALLS_AT_MOST = 1000
"""Calls of one sample on a device."""


class Timer:
    """Times `implementation` on `case` over rotating inputs; a context manager, since a backend may be forced meanwhile."""

    def __init__(
        self, implementation: Implementation, case: Case, oracle: Oracle, seed: int, device: Device | None = None
    ) -> None:
        """Prepare every input set; setup is outside of the timed region from here on.

        `device` is timed; without one it is torch's own of the oracle's kind, which on a CPU is none.
        """
        self.implementation, self.case, self.seed = implementation, case, seed
        self.oracle = relaxed(oracle, implementation.budget_factor)
        self.device = device or device_of(oracle.device)
        self.clock: Clock = clock_for(self.device)
        self._sets = [make_inputs(case, "normal", seed + i, oracle.device) for i in range(INPUT_SETS)]
        with ExitStack() as stack:
            self._calls = [stack.enter_context(implementation.bound(inputs)) for inputs in self._sets]
            self._timed = [timed(call, inputs) for call, inputs in zip(self._calls, self._sets, strict=True)]
            self._stack = stack.pop_all()  # kept open until close(); a failure above has closed it
        self._turns = cycle(self._timed)
        self.calls = 1
        self.warmup_ns: list[float] = []
        self.note = ""

    def timed_call(self, number: int = 0) -> Callable[[], object]:
        """What is timed, on that input set."""
        return self._timed[number]

    def warm_up(self) -> float:
        """Call until the time of a call is known; choose the calls of a sample. Returns nanoseconds a call."""
        if self.device is not None:
            self._settle(self.device)
        for _ in range(3):
            self.warmup_ns.append(self.clock.sample_ns(self._timed))
            if self.warmup_ns[-1] > WARM_UNDER_NS:
                break
        pace = self.warmup_ns[-1]
        if pace < WARM_UNDER_NS:  # whole turns: the untimed call is then on other inputs than the first timed one
            self.calls = INPUT_SETS * max(1, round(SAMPLE_NS / max(pace, 1.0) / INPUT_SETS))
        if self.device is not None:
            self._suit(pace)
        self.note = "; ".join(words for words in (self.note, self.clock.note) if words)
        return pace

    def _settle(self, device: Device) -> None:
        """Call until the device's clocks have risen; compilation and tuning end here as well."""
        start_ns = device.now_ns()
        while device.now_ns() - start_ns < SETTLE_NS:
            for call in self._timed:
                call()
            device.synchronize()

    def _suit(self, pace_ns: float) -> None:
        """Calls a sample for a device's clock, and the clock that suits so short a call."""
        self.calls = min(self.calls, CALLS_AT_MOST)
        if isinstance(self.clock, EventClock):
            self.warmup_ns.append(
                self.clock.sample_ns(self._rotation())
            )  # a whole sample: it may need a longer hold
            self.clock.look_for_unseen(self._rotation(), pace_ns)
            if pace_ns < GRAPH_UNDER_NS and self.case.direction == "fwd" and self.clock.device.graphs is not None:
                self._try_graph(self.clock)

    def _try_graph(self, events: EventClock) -> None:
        """Take the graph clock for short calls; keep the events, and say so, where a call can't be captured."""
        graphs = GraphClock(events)
        try:
            graphs.sample_ns(self._timed)
        except RuntimeError as error:  # the record names the clock, and the note says why it is this one
            self.note = f"timed by events, since a graph can't hold it: {' '.join(str(error).split())[:200]}"
            return
        self.clock = graphs

    def sample_ns(self) -> float:
        """One sample: the mean time of `calls` calls, after untimed ones where calls are short.

        The untimed calls are the last of the rotation, as in the rotation before: the first
        timed call finds the caches as every other does, and threads that are awake.
        """
        rotation = self._rotation()
        for call in rotation[len(rotation) - self._untimed() :]:
            call()
        return self.clock.sample_ns(rotation)

    def _untimed(self) -> int:
        """Calls before a sample: a whole turn of the input sets where threads take long to wake beside a call."""
        pace_ns = self.warmup_ns[-1]
        return INPUT_SETS if pace_ns < WAKING_NS else int(pace_ns < WARM_UNDER_NS)

    def _rotation(self) -> list[Callable[[], object]]:
        return [next(self._turns) for _ in range(self.calls)]

    def burst_ns(self, count: int) -> tuple[float, ...]:
        """`count` times of one call each, on the next input set, after one untimed call.

        Calls too short for the clock are timed in groups, and the times are means.
        """
        call = next(self._turns)
        call()
        group = [call] * max(1, round(BURST_NS / max(self.warmup_ns[-1], 1.0)))
        return tuple(self.clock.sample_ns(group) for _ in range(count))

    def verify(self) -> Comparison:
        """Compare with the oracle once more, on the very inputs that were timed; the worse of two answers.

        The second is for V negated where it lies, whose output is the negated one: a
        result that was kept from an earlier call and found by its address shows there.
        Memory that is given out holds NaN, so that an output left unwritten shows.
        """
        if self.case.dropout:
            from attnbench.bench.agreement.dropout import mean_comparison

            return mean_comparison(self._calls[0], self._sets[0])
        wanted = self.oracle.expect(self.case, "normal", self.seed).targets["out"]
        rows = self.oracle.expect(self.case, "normal", self.seed).rows
        same = compare("out", "normal", self._poisoned(self._calls[0]), wanted, rows)
        inputs = self._sets[0]
        with torch.no_grad():
            inputs.v.neg_()
        with self.implementation.bound(inputs) as call:
            fresh = compare("out", "normal", -self._poisoned(call), wanted, rows)
        return fresh if same.ok else same

    def _poisoned(self, call: Call) -> Tensor:
        """The output of a call that is given memory full of NaN; what is compiled anew for that gets freed blocks of it."""
        poison_allocator(self._sets[0])
        with nullcontext() if self.implementation.compiled else filled_allocations():
            return call().out

    def peak_bytes(self) -> int | None:
        """Most memory that one call holds at a time beyond its inputs; None where nothing counts it."""
        return peak_bytes(self._timed[0], self.device)

    def saved_bytes(self) -> int | None:
        """What one forward keeps for its backward, each storage once; None without a backward."""
        if self.case.direction == "fwd":
            return None
        kept: dict[int, int] = {}

        def note(x: Tensor) -> Tensor:
            storage = x.untyped_storage()
            kept[storage.data_ptr()] = storage.nbytes()
            return x

        with torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
            outputs = self._calls[0]()
        del outputs
        return sum(kept.values())

    def host_ns(self) -> float | None:
        """Time in which one call returns to the host; None where that is the time of the call itself."""
        if self.device is None:
            return None
        times = []
        for _ in range(HOST_CALLS):
            self.device.synchronize()
            start_ns = self.device.now_ns()
            self._timed[0]()
            times.append(self.device.now_ns() - start_ns)
        self.device.synchronize()
        return float(median(times))

    def energy_j(self, pace_ns: float) -> float | None:
        """Energy of one call as the device counts it, in joules; None where nothing counts it."""
        if self.device is None or (before := self.device.energy_mj()) is None:
            return None
        calls = min(ENERGY_CALLS, max(1, round(ENERGY_NS / max(pace_ns, 1.0))))
        for i in range(calls):
            self._timed[i % len(self._timed)]()
        self.device.synchronize()
        after = self.device.energy_mj()
        return None if after is None else (after - before) / calls / 1e3

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave the contexts and drop the tensors."""
        self._stack.close()
        self._sets, self._calls, self._timed, self._turns = [], [], [], cycle(())


def timed(call: Call, inputs: Inputs) -> Callable[[], object]:
    """What the case's direction times: the call, its backward, or both."""
    if inputs.case.direction == "fwd":
        return call
    leaves = (inputs.q, inputs.k, inputs.v)
    for x in leaves:
        x.requires_grad_()

    def backward_of(outputs: Outputs, *, keep: bool) -> object:
        if outputs.out.grad_fn is None:
            raise Refusal("its output carries no graph, so that it has no backward")
        return torch.autograd.grad(outputs.out, leaves, inputs.dout, retain_graph=keep)

    if inputs.case.direction == "bwd":
        outputs = call()
        return lambda: backward_of(outputs, keep=True)
    return lambda: backward_of(call(), keep=False)


def peak_bytes(call: Callable[[], object], device: Device | None) -> int | None:
    """Peak of memory allocated by torch during one call, above what was held before it; the CPU's without a device."""
    if device is not None:
        return device.peak_bytes(call)
    with torch.autograd.profiler.profile(profile_memory=True) as profile:
        call()
    held, peak = 0, 0
    events = [e for e in profile.kineto_results.events() if e.name() == "[memory]"]
    for event in sorted(events, key=lambda e: e.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak
