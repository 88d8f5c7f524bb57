"""The gate's error rates: how often it alarms where nothing changed, and how often it finds a change. No torch.

Trials of A against A and against kernels slowed by known work, in random order so
that drift hits all alike, half of them beside a neighbour that streams memory. The
thresholds of others are applied to the same trials: two runs in a row, of which
the second's mean, median or least time may be at most 5% above the first's.
"""

import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import mean, median
from time import perf_counter

import msgspec
from scipy.stats import binomtest

from attnbench.bench.gate.paired.side_by_side import SideBySide
from attnbench.bench.gate.paired.take_trial import TrialSettings, TrialSide, pinned, trial
from attnbench.bench.records.lines import LineWriter, StoreError
from attnbench.bench.records.schema import Kept
from attnbench.bench.records.verdict import Verdict
from attnbench.bench.timing.conditions import usable_cpus
from attnbench.bench.workers.process import Pool
from attnbench.impls.contract import parse_case

CASE = "b4-h25-s32-d64-full-fp32"
"""A hundred parts (batch times heads), and about a millisecond in all."""

FILE = Path(__file__).with_name("planted.py")
SLOWDOWNS = (0, 1, 3, 5, 10)
"""Percent of a kernel's work that is done twice; 0 is A against A."""

SEED = 0
"""Of the inputs, which are the same in all experiments; their order has one of its own."""

THRESHOLD = 1.05
RULES: dict[str, Callable[[Sequence[float]], float]] = {"mean:5%": mean, "median:5%": median, "min:5%": min}
NEIGHBOUR = """
import os, sys
if len(sys.argv) > 1:
    os.sched_setaffinity(0, {int(sys.argv[1])})
a = bytearray(64 << 20)
while True:
    b = bytes(a)
"""
SETTLE_S = 0.3


class Experiment(Kept, frozen=True, kw_only=True):
    """One whole comparison whose true ratio is known, and the results of other rules on its first two trials."""

    number: int
    slower_percent: int
    noisy: bool
    verdict: Verdict
    invalid_reason: str = ""
    ratio: float
    low: float
    high: float
    trials: int
    wall_s: float
    others: dict[str, bool]


class Rate(Kept, frozen=True, kw_only=True):
    """How often something happened, with Wilson's 95% interval."""

    count: int
    of: int

    @property
    def share(self) -> float:
        """The observed share."""
        return self.count / self.of if self.of else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's score interval (Wilson 1927)."""
        if not self.of:
            return 0.0, 1.0
        found = binomtest(self.count, self.of).proportion_ci(method="wilson")
        return float(found.low), float(found.high)


def planned(same: int, barely: int, slower: int, seed: int) -> list[tuple[int, int, bool]]:
    """Number, slowdown in percent and noise of every experiment, shuffled.

    `same` of A/A, `barely` of the least slowdown, `slower` of each other.
    """
    counts = dict.fromkeys(SLOWDOWNS, slower) | {0: same, SLOWDOWNS[1]: barely}
    experiments = [(percent, bool(i % 2)) for percent, count in counts.items() for i in range(count)]
    random.Random(seed).shuffle(experiments)
    return [(number, *experiment) for number, experiment in enumerate(experiments)]


def read_trials(path: Path) -> list[Experiment]:
    """The experiments of a file, whole lines only. Raises StoreError."""
    try:
        lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
        return [msgspec.json.decode(line, type=Experiment) for line in lines]
    except (OSError, msgspec.DecodeError) as error:
        raise StoreError(f"{path} holds no experiments of a self-check: {error}") from error


def run_trials(plan: Sequence[tuple[int, int, bool]], path: Path, pool: Pool, seed: int) -> Iterator[Experiment]:
    """Hold the experiments that `path` lacks, and append each to it. Raises StoreError and SideFailed."""
    writer = LineWriter(
        path,
        path.with_name(f".{path.name}.lock"),
        busy=f"another self-check writes to {path}",
        elsewhere="give another --out",
    )
    try:
        writer.cut_torn_line()
        done = {
            experiment.number: (experiment.slower_percent, experiment.noisy) for experiment in read_trials(path)
        }
        if not done.items() <= {number: (percent, noisy) for number, percent, noisy in plan}.items():
            raise StoreError(f"{path} holds experiments of other numbers or of another seed; give another --out")
        pool.oracle.expect(parse_case(CASE), SEED, ("normal",))
        for number, percent, noisy in plan:
            if number in done:
                continue
            with neighbour() if noisy else _alone():
                experiment = _experiment(number, percent, pool, seed + number, noisy=noisy)
            writer.append(experiment)
            yield experiment
    finally:
        writer.close()


def _experiment(number: int, percent: int, pool: Pool, seed: int, *, noisy: bool) -> Experiment:
    start, case, setting = perf_counter(), parse_case(CASE), pinned("cpu", 1)
    a = TrialSide("A", f"{FILE}:plain", "plain", setting)
    b = TrialSide("B", f"{FILE}:{f'slower_{percent}' if percent else 'plain'}", "candidate", setting)
    bench = TrialSettings(pool, SEED, shuffle=seed)
    sides = SideBySide([case], lambda case, turn, phase: trial(case, a, b, bench, turn, phase))
    trials = list(sides.measure())
    for failure in sides.failures.values():
        raise failure
    decision, invalid_reason = sides.decisions[case.id], sides.invalid_reason
    first, second = trials[0].a_ns, trials[1].b_ns
    return Experiment(
        number=number,
        slower_percent=percent,
        noisy=noisy,
        verdict=Verdict.UNDECIDED if invalid_reason else decision.verdict,
        invalid_reason=invalid_reason,
        ratio=decision.ratio,
        low=decision.low,
        high=decision.high,
        trials=decision.trials,
        wall_s=perf_counter() - start,
        others={name: figure(second) / figure(first) > THRESHOLD for name, figure in RULES.items()},
    )


@contextmanager
def neighbour() -> Iterator[None]:
    """A process that streams memory on a CPU that the sides don't use, where there is one."""
    cpus = usable_cpus()
    words = [sys.executable, "-S", "-c", NEIGHBOUR, *([str(cpus[0])] if len(cpus) > 1 else [])]
    process = subprocess.Popen(words)
    try:
        try:
            process.wait(SETTLE_S)
        except subprocess.TimeoutExpired:
            yield
        else:
            raise RuntimeError(f"the noisy neighbour ended at once, with code {process.returncode}")
    finally:
        process.kill()
        process.wait()


@contextmanager
def _alone() -> Iterator[None]:
    yield


def rate(held: Sequence[bool]) -> Rate:
    """How often it held."""
    return Rate(count=sum(held), of=len(held))


def promises(experiments: Sequence[Experiment]) -> Iterator[tuple[str, bool]]:
    """What the gate promises, and whether these experiments keep it."""
    by = {percent: [one for one in experiments if one.slower_percent == percent] for percent in SLOWDOWNS}
    alarms = rate([one.verdict in (Verdict.REGRESSED, Verdict.IMPROVED) for one in by[0]])
    yield f"A/A: {alarms.count} of {alarms.of} called REGRESSED or IMPROVED (none)", not alarms.count
    flips = rate([one.verdict is Verdict.IMPROVED for one in by[1]])
    yield f"+1%: {flips.count} of {flips.of} called IMPROVED (none)", not flips.count
    for percent, least in ((3, 0.97), (5, 1.0), (10, 1.0)):
        found = rate([one.verdict is Verdict.REGRESSED for one in by[percent]])
        wanted = f"at least {least:.0%}" if least < 1 else "all"
        yield f"+{percent}%: {found.count} of {found.of} found ({wanted})", not found.of or found.share >= least
    if experiments:
        wall_s = mean(one.wall_s for one in experiments)
        yield f"mean time to a decision {wall_s:.1f} s (under 15 s)", wall_s < 15
