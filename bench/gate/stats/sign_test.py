"""The exact sign-flip test, its interval, and many of them at once (Holm). No torch."""

from collections.abc import Sequence

import numpy as np

from attnbench.bench.gate.stats.bounds import Numbers

MOST = 24
"""Trials above which the exact test is refused: its halves would be too large."""
HALVINGS = 40


def sign_flip_p(log_ratios: Sequence[float], shift: float) -> float:
    """Chance of a sum as large as this one if each trial were as likely above as below `shift`.

    Exact and one-sided: all 2^n signs are counted, ties against the alternative.
    Holds for independent trials symmetric about a location of `shift` or less, of any and
    unequal scatter. Source: Fisher, The Design of Experiments, 1935, section 21.
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

    -inf where so few trials can't reject anything. Found by halving: p rises with the shift.
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
    """Which hypotheses fall when any wrong rejection is to have a chance of `alpha` at most.

    Source: Holm, Scandinavian Journal of Statistics 6 (1979).
    """
    rejected = [False] * len(p_values)
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        if p_values[place] > alpha / (len(p_values) - rank):
            break
        rejected[place] = True
    return rejected
