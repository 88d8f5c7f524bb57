"""One launch: fresh processes for both sides and for A again, on the same CPUs, called in turn.

A process has a bias of its own that no number of calls averages away, so the
launch is the unit of replication, and its sides live at the same time and share
whatever happens meanwhile. No torch here.
"""

import random
from contextlib import ExitStack
from dataclasses import dataclass, replace
from time import sleep
from typing import Any

from attnbench.bench.records.launch import Launch, Phase
from attnbench.bench.records.schema import Comparison
from attnbench.bench.timing.conditions import Watch, usable_cpus
from attnbench.bench.timing.rounds import QUIET_S
from attnbench.bench.workers.answers import OpenAnswer
from attnbench.bench.workers.process import Pool
from attnbench.bench.workers.setting import PLAIN, Setting
from attnbench.bench.workers.status import WorkerFailure
from attnbench.impls.contract import Case

LAUNCH_S = 1.0
"""About what the calls of a launch may take; slow calls get fewer rounds, never fewer than the least."""

ROUNDS = 20
LEAST_ROUNDS = 5
SETTLING = 3
"""Rounds that come first and don't count: caches fill, pages are touched, clocks rise."""

CALLS = 4
SLOW_CALLS = 2
SLOW_NS = 20_000_000
PROTOCOL = f"1: {ROUNDS} rounds of {CALLS} after {SETTLING}, {LAUNCH_S:g} s"
"""Told in a journal: launches of another protocol don't belong in the same comparison."""

SPREAD_BYTES = 1 << 16
"""Each process first takes up to this much memory, so that tensors lie elsewhere in each launch."""


@dataclass(frozen=True)
class Contender:
    """One side: what runs, how its process is set up, and the words for it."""

    label: str
    name: str
    title: str
    setting: Setting = PLAIN


@dataclass(frozen=True)
class Bench:
    """What all launches of a comparison have in common; `seed` is that of the inputs, `shuffle` that of the order."""

    pool: Pool
    seed: int
    shuffle: int = 0
    sentinel: bool = True
    launch_s: float = LAUNCH_S


class SideFailed(Exception):
    """A side gave no times, or a wrong result after it was timed; the launch is worth nothing."""

    def __init__(self, contender: Contender, failure: WorkerFailure | Comparison) -> None:
        super().__init__(contender.label, str(failure))
        self.contender, self.failure = contender, failure


def own_paths(words: str, contender: Contender) -> str:
    """`words` about a side without the scratch folder in which its files lie, which is gone when they are read."""
    tree = contender.setting.tree
    return words.replace(f"{tree}/", "") if tree else words


def pinned(device: str, threads: int) -> Setting:
    """A process on the last `threads` CPUs, which see fewer interrupts than the first; free on a GPU."""
    if device != "cpu":
        return PLAIN
    return Setting(cpus=usable_cpus()[-threads:], threads=threads)


def launch(case: Case, a: Contender, b: Contender, bench: Bench, number: int, phase: Phase) -> Launch:
    """Start every side afresh, call them in rounds of random order, check what was timed. Raises SideFailed."""
    order = random.Random(f"{bench.shuffle} {case.id} {phase} {number}")
    sides = [a, b, *([replace(a, label=f"{a.label} again")] if bench.sentinel else [])]
    with ExitStack() as stack:
        seats = [_Seat(side, bench, stack) for side in sides]
        watch = Watch(
            bench.pool.device, lambda: [seat.worker.pid for seat in seats if seat.worker.pid], bench.pool.uuid
        )
        order.shuffle(seats)
        pace_ns = max(seat.open(case, order).pace_ns for seat in seats)
        rounds, calls = _rounds(pace_ns, len(seats), bench.launch_s)
        for turn in range(SETTLING + rounds):
            order.shuffle(seats)
            for seat in seats:
                seat.burst(calls, kept=turn >= SETTLING)
        disturbance = watch.conditions().disturbance
        for seat in seats:
            seat.verify()
        times = {seat.side.label: tuple(seat.times_ns) for seat in seats}
    return Launch(
        case=case.id,
        number=number,
        phase=phase,
        a_ns=times[a.label],
        b_ns=times[b.label],
        again_ns=times.get(f"{a.label} again", ()),
        calls=calls,
        disturbance=disturbance,
    )


def _rounds(pace_ns: float, sides: int, launch_s: float) -> tuple[int, int]:
    """How many rounds that count, and calls a round, for calls of this pace."""
    calls = CALLS if pace_ns < SLOW_NS else SLOW_CALLS
    a_round_s = sides * (calls + 1) * pace_ns / 1e9
    return max(LEAST_ROUNDS, min(ROUNDS, int(launch_s / a_round_s) - SETTLING)), calls


class _Seat:
    """A side's process in one launch."""

    def __init__(self, side: Contender, bench: Bench, stack: ExitStack) -> None:
        self.side, self.bench, self.times_ns = side, bench, list[float]()
        self.worker = bench.pool.fresh(side.name, side.setting)
        stack.callback(self.worker.stop)

    def open(self, case: Case, order: random.Random) -> OpenAnswer:
        """Start the process and prepare the case."""
        answer: OpenAnswer = self._ask("open", case, self.bench.seed, order.randrange(SPREAD_BYTES))
        return answer

    def burst(self, calls: int, *, kept: bool) -> None:
        """One round's calls."""
        if self.side.setting.threads > 1:
            sleep(QUIET_S)
        times: tuple[float, ...] = self._ask("burst", calls)
        if kept:
            self.times_ns += times

    def verify(self) -> None:
        """Compare what was timed with the oracle."""
        compared: Comparison = self._ask("verify")
        if not compared.ok:
            raise SideFailed(self.side, compared)

    def _ask(self, method: str, *arguments: object) -> Any:
        try:
            return self.worker.ask(method, *arguments)
        except WorkerFailure as error:
            raise SideFailed(self.side, error) from error
