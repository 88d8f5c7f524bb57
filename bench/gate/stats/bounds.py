"""Locations and bounds of trials, over a batch axis, so that simulations use the functions that decide. No torch.

One *trial* gives one number: the logarithm of candidate over baseline, above 0 where the candidate is slower.
Arrays are `[..., trials]`, in the order in which the trials were taken.

For example, six trials are .031, .028, .035, .030, .026 and .033. Their mean is .0305 and their
standard deviation .0033, so `least_sd` = .006 is taken and the standard error is .006 / sqrt(6) =
.00245. At the level alpha / 7 = 1/7000, Student's t with 5 degrees of freedom reaches 8.98 standard
errors: the bounds are .0085 and .0525. The lower one is not above log(1.01) = .00995, so
the case stays open. Two more trials, .032 and .029, give the standard error .006 / sqrt(8) = .00212, 6.67
standard errors with 7 degrees of freedom, and the lower bound .0164: slower.
"""

from dataclasses import dataclass
from math import log, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

Numbers = NDArray[np.floating[Any]]
Codes = NDArray[np.int8]
OPEN, SLOWER, FASTER, SAME = 0, 1, 2, 3
"""Results of `look`, for each row."""


@dataclass(frozen=True)
class Rule:
    """When trials decide: bounds as log-ratios, error rates, and the numbers of trials of the interim looks.

    `alpha` bounds the probability, over all looks, that a case which is slower by
    `slower` or less is called REGRESSED (and its mirror for IMPROVED); `beta` the
    probability that one which is slower or faster by `same` or more is called UNCHANGED. Each is
    shared equally among the looks. `trim` is the share of trials cut off at each
    end. `least_sd` (a log-ratio) is the least standard deviation that is taken for trials,
    since a few may agree by chance, or because all fell into the same mode.
    Raises `ValueError` for a rule without sense.
    """

    slower: float = log(1.01)
    same: float = log(1.025)
    alpha: float = 0.001
    beta: float = 0.01
    looks: tuple[int, ...] = (6, 8, 10, 12, 16, 20, 24)
    trim: float = 0.1
    least_sd: float = 0.006

    def __post_init__(self) -> None:
        if not 0 < self.slower < self.same:
            raise ValueError(f"slower={self.slower:g} and same={self.same:g}: the rule needs 0 < slower < same")
        if not (0 < self.alpha < 0.5 and 0 < self.beta < 0.5 and 0 <= self.trim < 0.3 and self.least_sd > 0):
            raise ValueError("the rule needs alpha and beta in (0, 0.5), trim in [0, 0.3), least_sd above 0")
        if not self.looks or self.looks[0] < 3 or list(self.looks) != sorted(set(self.looks)):
            raise ValueError(
                f"looks={self.looks}: the rule needs at least one, rising, the first at 3 trials or more"
            )

    @property
    def alpha_of_a_look(self) -> float:
        """The part of `alpha` for each look."""
        return self.alpha / len(self.looks)

    @property
    def beta_of_a_look(self) -> float:
        """The part of `beta` for each look."""
        return self.beta / len(self.looks)


RULE = Rule()


def location(trials: Numbers, rule: Rule) -> tuple[Numbers, Numbers, int]:
    """Trimmed mean, its standard error from the winsorised variance, and degrees of freedom.

    Source: Yuen, Biometrika 61 (1974); with nothing to cut (fewer than 1 / trim trials) it is Student's.
    """
    ordered = np.sort(trials, axis=-1)
    count = ordered.shape[-1]
    cut = int(rule.trim * count + 1e-9)
    kept = count - 2 * cut
    core = ordered[..., cut : count - cut]
    winsorised = np.clip(ordered, core[..., :1], core[..., -1:])
    error = np.sqrt(winsorised.var(axis=-1, ddof=1) * (count - 1) / (kept * (kept - 1)))
    return core.mean(axis=-1), np.maximum(error, rule.least_sd / sqrt(count)), kept - 1


def bounds(trials: Numbers, rule: Rule, level: float) -> tuple[Numbers, Numbers]:
    """Lower and upper bound of the location of two trials or more, each wrong with probability `level`."""
    middle, error, freedom = location(trials, rule)
    reach = -float(stdtrit(freedom, level)) * error
    return middle - reach, middle + reach


def look(trials: Numbers, rule: Rule) -> Codes:
    """The result of one look, for each row: OPEN, SLOWER, FASTER or SAME."""
    low, high = bounds(trials, rule, rule.alpha_of_a_look)
    least, most = bounds(trials, rule, rule.beta_of_a_look)
    said = np.where((least > -rule.same) & (most < rule.same), SAME, OPEN)
    said = np.where(low > rule.slower, SLOWER, said)
    return np.where(high < -rule.slower, FASTER, said).astype(np.int8)


def decided(trials: Numbers, rule: Rule) -> tuple[Codes, NDArray[np.int64]]:
    """The result for each row, and the number of trials after which it was reached; all of them where it is OPEN."""
    shape = trials.shape[:-1]
    said, used = np.zeros(shape, np.int8), np.full(shape, trials.shape[-1])
    for count in rule.looks:
        if count > trials.shape[-1]:
            break
        waiting = said == OPEN
        said[waiting] = look(trials[waiting][..., :count], rule)
        used[waiting & (said != OPEN)] = count
    return said, used


def beyond(trials: Numbers, rule: Rule) -> NDArray[np.bool_]:
    """Whether the median of each row is beyond `rule.slower`, slower or faster."""
    return np.asarray(np.abs(np.median(trials, axis=-1)) > rule.slower)
