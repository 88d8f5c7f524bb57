"""The exact sign-flip test, its interval, and Holm's correction for many tests. No torch."""

from collections.abc import Sequence

import numpy as np

from attnbench.bench.gate.stats.bounds import Numbers

MOST = 24
"""Most trials that the exact test takes: it enumerates the subsets of each half."""
HALVINGS = 40


def sign_flip_p(log_ratios: Sequence[float], shift: float) -> float:
    """Probability of a sum as large as this one if the sign of each trial's excess over `shift` were random.

    Exact and one-sided: all 2^n sign patterns are counted, ties against the alternative.
    Valid for independent trials that are symmetric about a location of `shift` or less, with any,
    also unequal, scatter. Trials .02, .03 and .025 with the shift .01: all three exceed it, so one of
    8 patterns gives so large a sum, and p = 1/8. Source: Fisher, The Design of Experiments, 1935, section 21.
    Raises `ValueError` without a trial, or for more than `MOST`.
    """
    excess = np.asarray(log_ratios, dtype=float) - shift
    if not 0 < excess.size <= MOST:
        raise ValueError(f"{excess.size} trials: the exact sign-flip test takes 1 to {MOST}")
    # A sign pattern does as well when the trials that it flips sum to 0 or less.
    slack = 1e-9 * float(np.abs(excess).sum())
    half = excess.size // 2
    left, right = _subset_sums(excess[:half]), np.sort(_subset_sums(excess[half:]))
    enough = np.searchsorted(right, slack - left, side="right")
    return float(enough.sum()) / 2.0**excess.size


def _subset_sums(values: Numbers) -> Numbers:
    """The sums of all subsets, `[2^n]`."""
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums, sums + value])
    return sums


def sign_flip_bound(log_ratios: Sequence[float], level: float) -> float:
    """Largest shift that the test rejects at `level`, which is the lower bound of the location.

    -inf where there are too few trials to reject anything. Found by bisection, since p rises with the shift.
    """
    if level < 2.0 ** -len(log_ratios):
        return -np.inf
    low = min(log_ratios) - 1e-6 * (1 + max(map(abs, log_ratios)))
    high = max(log_ratios)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if sign_flip_p(log_ratios, middle) <= level else (low, middle)
    return low


def holm(p_values: Sequence[float], alpha: float) -> list[bool]:
    """Which hypotheses are rejected such that the probability of any false rejection is at most `alpha`.

    Source: Holm, Scandinavian Journal of Statistics 6 (1979).
    """
    rejected = [False] * len(p_values)
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        if p_values[place] > alpha / (len(p_values) - rank):
            break
        rejected[place] = True
    return rejected
