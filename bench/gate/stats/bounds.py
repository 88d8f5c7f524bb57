"""Locations and bounds of trials, over a batch axis: what is simulated is what decides. No torch.

One *trial* gives one number: the log of candidate over baseline, above 0 where the candidate is slower.
Arrays are `[..., trials]`, in the order in which they were taken.
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
"""What `look` says of each row."""


@dataclass(frozen=True)
class Rule:
    """When trials decide: bounds as log-ratios, error rates, numbers of trials at which one looks.

    `alpha` bounds the chance, over all looks, that a case which is slower by
    `slower` or less is called REGRESSED (and its mirror for IMPROVED); `beta` the
    chance that one which is slower or faster by `same` or more is called UNCHANGED. Each is
    shared equally among the looks. `trim` is the share of trials cut at each
    end. Trials are never believed to scatter less than `least_sd` (a log-ratio):
    a few that agree by luck, or because they fell into the same mode, prove nothing.
    Raises `ValueError` for a rule that can't hold.
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
        """What each look may spend of `alpha`."""
        return self.alpha / len(self.looks)

    @property
    def beta_of_a_look(self) -> float:
        """What each look may spend of `beta`."""
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
    """What is said at one look, of each row: OPEN, SLOWER, FASTER or SAME."""
    low, high = bounds(trials, rule, rule.alpha_of_a_look)
    least, most = bounds(trials, rule, rule.beta_of_a_look)
    said = np.where((least > -rule.same) & (most < rule.same), SAME, OPEN)
    said = np.where(low > rule.slower, SLOWER, said)
    return np.where(high < -rule.slower, FASTER, said).astype(np.int8)


def decided(trials: Numbers, rule: Rule) -> tuple[Codes, NDArray[np.int64]]:
    """What each row came to, and after how many trials; OPEN ones have had all."""
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
