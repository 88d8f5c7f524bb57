"""One implementation bound to one case, ready to be sampled."""

from collections.abc import Callable
from contextlib import ExitStack

import torch

from bench.agreement.compare import compare
from bench.agreement.inputs import make_inputs
from bench.agreement.oracle import Oracle
from bench.agreement.relaxed import relaxed
from bench.records.schema import Comparison
from bench.timing.clocks import clock_for
from impls.contract import Call, Case, Implementation, Inputs, Outputs, Refusal

INPUT_SETS = 2
SAMPLE_NS = 1_000_000
WARM_UNDER_NS = 10_000_000


class Timer:
    """Calls of `implementation` on `case` over rotating inputs; use :meth:`close` when done."""

    def __init__(self, implementation: Implementation, case: Case, oracle: Oracle, seed: int) -> None:
        """Prepare every input set; setup is outside of the timed region from here on."""
        self.case, self.oracle, self.seed = case, relaxed(oracle, implementation.budget_factor), seed
        self.clock = clock_for(oracle.device)
        self._stack = ExitStack()
        self._sets = [make_inputs(case, "normal", seed + i, oracle.device) for i in range(INPUT_SETS)]
        self._calls = [self._stack.enter_context(implementation.bound(inputs)) for inputs in self._sets]
        self._timed = [timed(call, inputs) for call, inputs in zip(self._calls, self._sets, strict=True)]
        self.calls = 1
        self.warmup_ns: list[float] = []

    @property
    def call(self) -> Callable[[], object]:
        """What is timed, on the first input set."""
        return self._timed[0]

    def warm_up(self) -> float:
        """Call until the pace is known; choose the calls a sample. Returns nanoseconds a call."""
        for _ in range(3):
            self.warmup_ns.append(self.clock.sample_ns(self._timed))
            if self.warmup_ns[-1] > WARM_UNDER_NS:
                break
        pace = self.warmup_ns[-1]
        self.calls = max(1, round(SAMPLE_NS / max(pace, 1.0)))
        return pace

    def sample_ns(self) -> float:
        """One sample: the mean time of `calls` calls, after one untimed call where calls are short."""
        rotation = [self._timed[i % len(self._timed)] for i in range(self.calls)]
        if self.warmup_ns[-1] < WARM_UNDER_NS:
            rotation[-1]()
        return self.clock.sample_ns(rotation)

    def verify(self) -> Comparison:
        """Compare the output with the oracle once more, on the very inputs that were timed."""
        wanted = self.oracle.expect(self.case, "normal", self.seed)
        return compare("out", "normal", self._calls[0]().out, wanted.targets["out"], wanted.rows)

    def peak_bytes(self) -> int | None:
        """Most memory that one call holds at a time beyond its inputs; None where nothing counts it."""
        return peak_bytes(self._timed[0], self.oracle.device)

    def close(self) -> None:
        """Leave the contexts and drop the tensors."""
        self._stack.close()
        self._sets, self._calls, self._timed = [], [], []


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


def peak_bytes(call: Callable[[], object], device: str) -> int | None:
    """Peak of memory allocated by torch during one call, above what was held before it."""
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    if device != "cpu":
        return None
    with torch.autograd.profiler.profile(profile_memory=True) as profile:
        call()
    held, peak = 0, 0
    events = [e for e in profile.kineto_results.events() if e.name() == "[memory]"]
    for event in sorted(events, key=lambda e: e.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak
