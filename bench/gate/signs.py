"""The exact sign-flip test, and many of them at once (Holm). No torch."""

from collections.abc import Sequence

import numpy as np

from bench.gate.bounds import Numbers

MOST = 24
"""Launches above which the exact test is refused: its halves would be too large."""


def sign_flip_p(log_ratios: Sequence[float], shift: float) -> float:
    """Chance of a sum as large as this one if each launch were as likely above as below `shift`.

    Exact and one-sided: all 2^n signs are counted, ties against the alternative.
    Holds for launches symmetric about a location of `shift` or less, of any and
    unequal scatter. Source: Fisher, The Design of Experiments, 1935, section 21.
    """
    excess = np.asarray(log_ratios, dtype=float) - shift
    if not 0 < excess.size <= MOST:
        raise ValueError(f"{excess.size} launches: the exact sign-flip test takes 1 to {MOST}")
    slack = 1e-9 * float(np.abs(excess).sum())
    half = excess.size // 2
    left, right = _sums(excess[:half]), np.sort(_sums(excess[half:]))
    enough = right.size - np.searchsorted(right, excess.sum() - slack - left, side="left")
    return float(enough.sum()) / 2.0**excess.size


def _sums(values: Numbers) -> Numbers:
    """The sums under all signs, `[2^n]`."""
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums + value, sums - value])
    return sums


def holm(p_values: Sequence[float], alpha: float) -> list[bool]:
    """Which hypotheses fall when any wrong rejection is to have a chance of `alpha` at most (Holm 1979)."""
    rejected = [False] * len(p_values)
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        if p_values[place] > alpha / (len(p_values) - rank):
            break
        rejected[place] = True
    return rejected
