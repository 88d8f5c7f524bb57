"""Samples in rounds, one of each implementation in random order, so that drift affects all alike."""

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter, sleep

from attnbench.bench.records.schema import median_interval
from attnbench.bench.status import WorkerFailure

FIRST_LOOK = 8
QUIET_S = 0.001
"""Pause before a sample, so that threads of the one before have gone to sleep."""


@dataclass(frozen=True)
class Effort:
    """How long to sample: until the half-width of the median's 95% interval is narrow, or time is out."""

    interval: float = 0.01
    budget_s: float = 1.0
    at_least: int = 5
    at_most: int = 400


@dataclass
class Sampler:
    """One implementation that is sampled in rounds: how to take a sample, and the samples so far.

    `prior_ns` are samples of earlier rounds of the same run; they come first.
    """

    name: str
    sample: Callable[[], float]
    prior_ns: tuple[float, ...] = ()
    samples_ns: list[float] = field(default_factory=list)
    spent_s: float = 0.0
    stopped: str = ""
    error: WorkerFailure | None = None

    def __post_init__(self) -> None:
        self.samples_ns[:0] = self.prior_ns

    def again(self) -> "Sampler":
        """The same sampler without the samples of these rounds."""
        return Sampler(self.name, self.sample, self.prior_ns)

    def take(self, effort: Effort) -> None:
        """One more sample; decides whether it was the last."""
        start = perf_counter()
        sleep(QUIET_S)
        self.samples_ns.append(self.sample())
        self.spent_s += perf_counter() - start
        count = len(self.samples_ns)
        if count >= FIRST_LOOK and half_width(self.samples_ns) <= effort.interval:
            self.stopped = "interval"
        elif count >= effort.at_most:
            self.stopped = "count"
        elif count >= effort.at_least and self.spent_s >= effort.budget_s:
            self.stopped = "budget"


def half_width(samples_ns: Iterable[float]) -> float:
    """Half the width of the median's interval, as a share of the median."""
    samples = list(samples_ns)
    low, high = median_interval(samples)
    return (high - low) / 2 / median(samples)


def sample_in_rounds(samplers: Iterable[Sampler], effort: Effort, seed: int) -> Iterator[Sampler]:
    """Sample all in rounds of random order; yields each one when it has stopped."""
    order, active = random.Random(seed), list(samplers)
    while active:
        order.shuffle(active)
        for sampler in list(active):
            try:
                sampler.take(effort)
            except (
                WorkerFailure
            ) as error:  # the failure of one implementation must not end the rounds of the others
                sampler.error, sampler.stopped = error, "error"
            if sampler.stopped:
                active.remove(sampler)
                yield sampler
