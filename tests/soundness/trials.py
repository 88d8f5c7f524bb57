"""The gate's rule on simulated trials of known truth: ``python -m tests.soundness.trials [SEEDS]``.

Prints how often each verdict fell, with Wilson intervals, and ends with 1 where a
nominal rate is exceeded beyond chance. The rule that is simulated is the one that is shipped.
"""

import sys
from collections import Counter
from dataclasses import dataclass
from math import log

import numpy as np
from scipy.stats import binomtest

from attnbench.bench.gate.stats import RULE
from attnbench.bench.gate.stats.bounds import FASTER, OPEN, SAME, SLOWER, decided
from tests.soundness.noises import NOISES, Promise
from tests.soundness.sweeps import aa_controls, sweeps

SEEDS = 6
EXPERIMENTS = 20_000
"""Of each noise and effect, for each seed."""
EFFECTS = (-3.0, 0.0, 1.0, 2.5, 3.0, 5.0, 10.0)
"""True changes of the candidate's time in percent."""
SURE = 0.999
"""Confidence beyond which a rate counts as not held: chance says so once in 2,000 cells right at their bound."""
PRINTED = 0.95
WORDS = {SLOWER: "REGRESSED", FASTER: "IMPROVED", SAME: "UNCHANGED", OPEN: "UNDECIDED"}


def wilson(hits, experiments, confidence=PRINTED):
    """Interval of a share."""
    return tuple(binomtest(hits, experiments).proportion_ci(confidence, method="wilson"))


@dataclass
class Cell:
    """What came of one noise and effect."""

    noise: object
    effect: float
    experiments: int = 0
    trials: int = 0
    said: Counter = None

    def add(self, said, used):
        counts = Counter(dict(zip(*map(np.ndarray.tolist, np.unique(said, return_counts=True)), strict=True)))
        self.said = (self.said or Counter()) + counts
        self.experiments, self.trials = self.experiments + said.size, self.trials + int(used.sum())

    def share(self, code):
        return self.said[code] / self.experiments

    def __str__(self):
        cells = []
        for code in WORDS:
            low, high = wilson(self.said[code], self.experiments)
            cells.append(f"{100 * self.share(code):.3f} ({100 * low:.3f} to {100 * high:.3f})")
        mean = self.trials / self.experiments
        return f"| {self.noise.name} | {self.effect:+g}% | {' | '.join(cells)} | {mean:.1f} |"


def simulate(seeds=SEEDS, noises=NOISES, effects=EFFECTS, experiments=EXPERIMENTS, rule=RULE):
    """All cells. The noise of a seed is the same for all effects."""
    cells = []
    for place, noise in enumerate(noises):
        row = [Cell(noise, effect) for effect in effects]
        for seed in range(seeds):
            drawn = noise.draw(np.random.default_rng((seed, place)), (experiments, rule.looks[-1]))
            for cell in row:
                cell.add(*decided(noise.after(drawn + log(1 + cell.effect / 100)), rule))
        cells += row
    return cells


def ceilings(cell, rule=RULE):
    """What may fall how often at most: verdicts that the truth forbids, with their nominal rates."""
    if cell.noise.promise is Promise.NOTHING:
        return
    true, nominal = log(1 + cell.effect / 100), cell.noise.promise is Promise.NOMINAL
    near, far = (rule.slower, rule.same) if nominal else (0.0, log(1.03))
    slack = 1e-9
    if true <= near + slack:
        yield SLOWER, rule.alpha
    if true >= -near - slack:
        yield FASTER, rule.alpha
    if abs(true) >= far - slack:
        yield SAME, rule.beta


def exceeded(cells, rule=RULE):
    """A sentence for each nominal rate that is exceeded beyond chance."""
    for cell in cells:
        for code, nominal in ceilings(cell, rule):
            low, _ = wilson(cell.said[code], cell.experiments, SURE)
            if low > nominal:
                yield f"{cell.noise.name}, {cell.effect:+g}%: {WORDS[code]} {cell.share(code):.5f}, nominal {nominal}"


def weak(cells):
    """A sentence for each thing that the rule must find, or decide in time, and didn't; of the measured scatter."""
    for cell in cells:
        if cell.noise is not NOISES[0]:
            continue
        least, most = {0.0: (0, 9), 3.0: (0.97, 12), 5.0: (0.9999, 9), 10.0: (1, 7)}.get(cell.effect, (0, 24))
        if cell.share(SLOWER) < least or cell.trials > most * cell.experiments:
            yield f"{cell.effect:+g}%: found {cell.share(SLOWER):.4f}, in {cell.trials / cell.experiments:.1f} trials"


def summary(cells):
    """One line a noise: false verdicts at their worst, and what was found."""
    columns = "noise|A/A false|A/A trials|+1% REGRESSED|+2.5% UNCHANGED|+3% UNCHANGED|+3% found|+3% trials|"
    yield f"|{columns}+5% found|+10% found|\n|" + "---|" * 10
    for noise in NOISES:
        at = {cell.effect: cell for cell in cells if cell.noise is noise}
        shares = (
            f"{100 * (at[0].share(SLOWER) + at[0].share(FASTER)):.3f}",
            f"{at[0].trials / at[0].experiments:.1f}",
            f"{100 * at[1].share(SLOWER):.3f}",
            *(f"{100 * at[effect].share(SAME):.3f}" for effect in (2.5, 3)),
            f"{100 * at[3].share(SLOWER):.2f}",
            f"{at[3].trials / at[3].experiments:.1f}",
            *(f"{100 * at[effect].share(SLOWER):.2f}" for effect in (5, 10)),
        )
        yield f"| {noise.name}{noise.promise.value} | {' | '.join(shares)} |"


def main() -> int:
    """Simulate all, print what was found."""
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else SEEDS
    cells = simulate(seeds)
    print(f"| noise | true | {' | '.join(f'{word}, %' for word in WORDS.values())} | trials |\n|" + "---|" * 7)
    print(*cells, sep="\n")
    print(f"\nIn short ({cells[0].experiments:,} experiments a cell, %):\n", *summary(cells), sep="\n")
    lines, wrong = sweeps(seeds, wilson, SURE)
    print("", *lines, "", *aa_controls(seeds, wilson), sep="\n")
    wrong += [*exceeded(cells), *weak(cells)]
    print(f"\n{sum(cell.experiments for cell in cells):,} experiments, {len(wrong)} rates not held")
    print("\n".join(f"NOT HELD {each}" for each in wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
