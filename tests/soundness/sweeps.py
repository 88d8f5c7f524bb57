"""Whole sweeps of simulated trials: screened, confirmed with fresh trials, watched by an A/A control."""

from collections import Counter
from dataclasses import dataclass, field
from math import log

import numpy as np

from attnbench.bench.gate.stats import RULE, alarmed
from attnbench.bench.gate.stats.bounds import FASTER, SAME, SLOWER, beyond, decided
from attnbench.bench.gate.stats.confirmation import CONFIRMING, verdicts
from attnbench.bench.records.verdict import Verdict
from tests.soundness.noises import NOISES

CASES = 40
SENTINELS = 8
"""Trials of the A/A control a case."""
SCATTERS = ("normal 0.9%", "t with 3 degrees", "10% of processes +4%")
KINDS = (
    ("all equal", (), 1000),
    ("1 at +3%", (3,), 1000),
    ("3 at +3%", (3,) * 3, 600),
    ("10 at +1%", (1,) * 10, 600),
)
"""Effects of the cases that aren't equal, and how many sweeps for each seed."""
SENTINEL_SWEEPS = 30


@dataclass
class Kind:
    """What came of the sweeps of one kind: verdicts by true effect, and how many sweeps held a false one."""

    name: str
    said: dict = field(default_factory=lambda: {0: Counter(), 1: Counter(), 3: Counter()})
    sweeps: int = 0
    false: int = 0
    flagged: int = 0
    trials: int = 0

    def add(self, found, flagged, trials, true):
        for effect, verdict in zip(true, found, strict=True):
            self.said[effect][verdict] += 1
        slower = {effect for effect, verdict in zip(true, found, strict=True) if verdict is Verdict.REGRESSED}
        self.false += bool(slower & {0, 1}) or Verdict.IMPROVED in found
        self.sweeps, self.flagged, self.trials = (
            self.sweeps + 1,
            self.flagged + flagged,
            self.trials + trials,
        )

    def share(self, effect, verdict):
        return self.said[effect][verdict] / max(1, self.said[effect].total())


def screened(trials, rule):
    """Of each case: its verdict, whether it needs fresh trials, and how many it took. `[sweeps, cases, trials]`."""
    said, used = decided(trials, rule)
    flagged = beyond(trials[..., : rule.looks[0]], rule)
    used = np.where(flagged, rule.looks[0], used)
    flagged |= (said == SLOWER) | (said == FASTER)
    return np.where((said == SAME) & ~flagged, Verdict.UNCHANGED, Verdict.UNDECIDED), flagged, used


def confirmed(found, flagged, fresh, rule):
    """The verdicts of one sweep with those of its flagged cases, and their trials; extended while undecided."""
    taken, found = dict.fromkeys(np.flatnonzero(flagged).tolist(), 0), list(found)
    for count in CONFIRMING:
        taken |= {place: count for place in taken if found[place] is Verdict.UNDECIDED}
        for place, verdict in verdicts({p: fresh[p, :n].tolist() for p, n in taken.items()}, rule).items():
            found[place] = verdict
    return found, sum(taken.values())


def run(noise, name, effects, count, seeds, rule=RULE):
    """Many sweeps of one kind."""
    kind, true = Kind(name), [*effects, *[0] * (CASES - len(effects))]
    shift, shape = np.log1p(np.array(true) / 100)[:, None], (count * CASES, rule.looks[-1])
    for seed in range(seeds):
        rng = np.random.default_rng((seed, len(effects), CASES))
        trials, fresh = (noise.draw(rng, shape).reshape(count, CASES, -1) + shift for _ in range(2))
        found, flagged, used = screened(trials, rule)
        for place in range(count):
            said, more = confirmed(found[place], flagged[place], fresh[place], rule)
            kind.add(said, int(flagged[place].sum()), int(used[place].sum()) + more, true)
    return kind


def aa_control_alarms(noise, shift, sweeps):
    """In how many sweeps the A/A control alarmed, whose true shift is this (percent)."""
    rng, shape = np.random.default_rng((CASES, shift)), (CASES, SENTINELS)
    return sum(bool(alarmed(dict(enumerate(noise.draw(rng, shape) + log(1 + shift / 100))))) for _ in range(sweeps))


def sweeps(seeds, wilson, sure, rule=RULE):
    """Lines of a table, and a sentence for each rate that was not held."""
    columns = (
        "noise|40 cases|sweeps|with a false verdict|flagged|+3% found|+3% UNCHANGED|equal UNDECIDED|trials a case"
    )
    lines = [f"|{columns}|", "|" + "---|" * 9]
    wrong = []
    for noise in (noise for noise in NOISES if noise.name in SCATTERS):
        for name, effects, count in KINDS:
            kind = run(noise, name, effects, count, seeds)
            low, high = wilson(kind.false, kind.sweeps)
            at_3 = (f"{100 * kind.share(3, said):.2f}%" for said in (Verdict.REGRESSED, Verdict.UNCHANGED))
            found = " | ".join(at_3) if 3 in effects else "|"
            lines.append(
                f"| {noise.name} | {name} | {kind.sweeps:,} | {kind.false} ({100 * low:.3f} to {100 * high:.3f}%) "
                f"| {kind.flagged / kind.sweeps:.2f} | {found} | {100 * kind.share(0, Verdict.UNDECIDED):.2f}% "
                f"| {kind.trials / kind.sweeps / CASES:.1f} |"
            )
            if wilson(kind.false, kind.sweeps, sure)[0] > 2 * rule.alpha:
                wrong.append(f"sweeps, {noise.name}, {name}: {kind.false} of {kind.sweeps} with a false verdict")
    return lines, wrong


def aa_controls(seeds, wilson):
    """Lines on the A/A control: alarms without cause, and with one."""
    experiments = SENTINEL_SWEEPS * seeds
    for noise in (noise for noise in NOISES if noise.name in SCATTERS):
        for shift in (0, 2, 3):
            alarms = aa_control_alarms(noise, shift, experiments)
            low, high = wilson(alarms, experiments)
            share = f"{100 * low:.1f} to {100 * high:.1f}%"
            yield f"A/A control, {noise.name}, true {shift:+d}%: {alarms} of {experiments} sweeps invalid ({share})"
