"""Locations and bounds of launches, over a batch axis: what is simulated is what decides. No torch.

One *launch* gives one number: the log of candidate over baseline, above 0 where the candidate is slower.
Arrays are `[..., launches]`, in the order in which they were taken.
"""

from dataclasses import dataclass
from math import log
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

Numbers = NDArray[np.floating[Any]]
Codes = NDArray[np.int8]
OPEN, SLOWER, FASTER, SAME = 0, 1, 2, 3
"""What `look` says of each row."""
LEAST_SD = 0.001
"""No set of launches is believed to scatter less (a log-ratio): equal figures come from a coarse clock."""


@dataclass(frozen=True)
class Rule:
    """When launches decide: bounds as log-ratios, error rates, numbers of launches at which one looks.

    `alpha` bounds the chance, over all looks, that a case which is slower by
    `slower` or less is called REGRESSED (and its mirror for IMPROVED); `beta` the
    chance at each look that one that is slower by `same` is called UNCHANGED.
    """

    slower: float = log(1.01)
    same: float = log(1.025)
    alpha: float = 0.001
    beta: float = 0.01
    looks: tuple[int, ...] = (6, 8, 10, 12, 16, 20, 24)
    trim: float = 0.2


RULE = Rule()


def location(launches: Numbers, trim: float) -> tuple[Numbers, Numbers, int]:
    """Trimmed mean, its standard error from the winsorised variance, and degrees of freedom (Yuen 1974)."""
    ordered = np.sort(launches, axis=-1)
    count = ordered.shape[-1]
    cut = int(trim * count)
    kept = count - 2 * cut
    core = ordered[..., cut : count - cut]
    winsorised = np.clip(ordered, core[..., :1], core[..., -1:])
    squares = np.maximum(winsorised.var(axis=-1, ddof=1), LEAST_SD**2) * (count - 1)
    return core.mean(axis=-1), np.sqrt(squares / (kept * (kept - 1))), kept - 1


def bounds(launches: Numbers, rule: Rule, level: float) -> tuple[Numbers, Numbers]:
    """Lower and upper bound of the location, each wrong with probability `level`."""
    middle, error, freedom = location(launches, rule.trim)
    reach = -float(stdtrit(freedom, level)) * error
    return middle - reach, middle + reach


def look(launches: Numbers, rule: Rule) -> Codes:
    """What is said at one look, of each row: OPEN, SLOWER, FASTER or SAME."""
    low, high = bounds(launches, rule, rule.alpha / len(rule.looks))
    least, most = bounds(launches, rule, rule.beta)
    said = np.where((least > -rule.same) & (most < rule.same), SAME, OPEN)
    said = np.where(low > rule.slower, SLOWER, said)
    return np.where(high < -rule.slower, FASTER, said).astype(np.int8)


def decided(launches: Numbers, rule: Rule) -> tuple[Codes, NDArray[np.int64]]:
    """What each row came to, and after how many launches; OPEN ones have had all."""
    shape = launches.shape[:-1]
    said, used = np.zeros(shape, np.int8), np.full(shape, launches.shape[-1])
    for count in rule.looks:
        if count > launches.shape[-1]:
            break
        waiting = said == OPEN
        said[waiting] = look(launches[waiting][..., :count], rule)
        used[waiting & (said != OPEN)] = count
    return said, used
