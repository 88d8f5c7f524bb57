"""One trial: fresh processes for both sides and for A again, on the same CPUs, called in turn.

Each process has a bias of its own that more calls don't average out, so the trial is
the unit of replication. Its sides run at the same time, so that disturbances affect
all of them. No torch here.
"""

import random
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from time import sleep
from typing import TypeVar

from attnbench.bench.records.schema import Comparison
from attnbench.bench.records.trial import Phase, Trial
from attnbench.bench.status import WorkerFailure
from attnbench.bench.timing.conditions import Watch, usable_cpus
from attnbench.bench.timing.rounds import QUIET_S
from attnbench.bench.workers.answers import OpenAnswer
from attnbench.bench.workers.process import Pool
from attnbench.bench.workers.setting import PLAIN, Setting
from attnbench.impls.contract import Case

Answer = TypeVar("Answer")

TRIAL_S = 1.0
"""About what the calls of a trial may take; slow calls get fewer rounds, never fewer than the least."""

ROUNDS = 20
LEAST_ROUNDS = 5
SETTLING = 3
"""Rounds that come first and don't count: caches fill, pages are touched, clocks rise."""

CALLS = 4
SLOW_CALLS = 2
SLOW_NS = 20_000_000
PROTOCOL = f"1: {ROUNDS} rounds of {CALLS} after {SETTLING}, {TRIAL_S:g} s"
"""Told in a journal: trials of another protocol don't belong in the same comparison."""

SPREAD_BYTES = 1 << 16
"""Each process first takes up to this much memory, so that tensors lie elsewhere in each trial."""


@dataclass(frozen=True)
class TrialSide:
    """One side: what runs, how its process is set up, and its name in messages."""

    label: str
    name: str
    title: str
    setting: Setting = PLAIN


@dataclass(frozen=True)
class TrialSettings:
    """What all trials of a comparison have in common; `seed` is that of the inputs, `shuffle` that of the order."""

    pool: Pool
    seed: int
    shuffle: int = 0
    aa_control: bool = True
    trial_s: float = TRIAL_S


class SideFailed(Exception):
    """A side gave no times, or a wrong result after it was timed; the trial is unusable."""

    def __init__(self, side: TrialSide, failure: WorkerFailure | Comparison) -> None:
        super().__init__(side.label, str(failure))
        self.side, self.failure = side, failure


def own_paths(words: str, side: TrialSide) -> str:
    """`words` about a side without the scratch folder in which its files lie, which is gone when they are read."""
    tree = side.setting.tree
    return words.replace(f"{tree}/", "") if tree else words


def pinned(device: str, threads: int) -> Setting:
    """A process on the last `threads` CPUs, which see fewer interrupts than the first; free on a GPU."""
    if device != "cpu":
        return PLAIN
    return Setting(cpus=usable_cpus()[-threads:], threads=threads)


def trial(case: Case, a: TrialSide, b: TrialSide, settings: TrialSettings, number: int, phase: Phase) -> Trial:
    """Start every side afresh, call them in rounds of random order, check what was timed. Raises SideFailed."""
    order = random.Random(f"{settings.shuffle} {case.id} {phase} {number}")
    sides = [a, b, *([replace(a, label=f"{a.label} again")] if settings.aa_control else [])]
    with ExitStack() as stack:
        processes = [_SideProcess(side, settings, stack) for side in sides]
        watch = Watch(
            settings.pool.device,
            lambda: [process.worker.pid for process in processes if process.worker.pid],
            settings.pool.uuid,
        )
        order.shuffle(processes)
        pace_ns = max(process.open(case, order).pace_ns for process in processes)
        rounds, calls = _rounds(pace_ns, len(processes), settings.trial_s)
        for turn in range(SETTLING + rounds):
            order.shuffle(processes)
            for process in processes:
                process.burst(calls, kept=turn >= SETTLING)
        disturbance = watch.conditions().disturbance
        for process in processes:
            process.verify()
        times = {process.side.label: tuple(process.times_ns) for process in processes}
    return Trial(
        case=case.id,
        number=number,
        phase=phase,
        a_ns=times[a.label],
        b_ns=times[b.label],
        again_ns=times.get(f"{a.label} again", ()),
        calls=calls,
        disturbance=disturbance,
    )


def _rounds(pace_ns: float, sides: int, trial_s: float) -> tuple[int, int]:
    """How many rounds that count, and calls a round, for calls of this pace."""
    calls = CALLS if pace_ns < SLOW_NS else SLOW_CALLS
    a_round_s = sides * (calls + 1) * pace_ns / 1e9
    return max(LEAST_ROUNDS, min(ROUNDS, int(trial_s / a_round_s) - SETTLING)), calls


class _SideProcess:
    """A side's process in one trial."""

    def __init__(self, side: TrialSide, settings: TrialSettings, stack: ExitStack) -> None:
        self.side, self.settings, self.times_ns = side, settings, list[float]()
        self.worker = settings.pool.fresh(side.name, side.setting)
        stack.callback(self.worker.stop)

    def open(self, case: Case, order: random.Random) -> OpenAnswer:
        """Start the process and prepare the case."""
        spread_bytes = order.randrange(SPREAD_BYTES)
        return self._or_fail(lambda: self.worker.open(case, self.settings.seed, spread_bytes))

    def burst(self, calls: int, *, kept: bool) -> None:
        """One round's calls."""
        if self.side.setting.threads > 1:
            sleep(QUIET_S)
        times = self._or_fail(lambda: self.worker.burst(calls))
        if kept:
            self.times_ns += times

    def verify(self) -> None:
        """Compare what was timed with the oracle."""
        compared = self._or_fail(self.worker.verify)
        if not compared.ok:
            raise SideFailed(self.side, compared)

    def _or_fail(self, request: Callable[[], Answer]) -> Answer:
        try:
            return request()
        except WorkerFailure as error:
            raise SideFailed(self.side, error) from error
