"""How trials scatter: log-ratios of a candidate that is exactly as fast, `[experiments, trials]`, each known in full."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from math import log, sqrt

import numpy as np

SD = 0.009
"""Scatter of a trial as measured, quiet or beside a noisy neighbour."""
MODE = 0.04


class Promise(Enum):
    """What is promised under a noise; docs/gate.md has what was seen where it is less than all."""

    NOMINAL = ""
    """The nominal rates, for a true effect right on a bound too."""
    AWAY = "*"
    """They hold for equal sides and for +-3%, not right on a bound."""
    NOTHING = "**"
    """Trials that aren't what the rule is for."""


def as_it_is(trials):
    return trials


@dataclass(frozen=True)
class Noise:
    """A way to scatter. `after` is what the clock makes of trial and effect together."""

    name: str
    draw: Callable
    promise: Promise = Promise.NOMINAL
    after: Callable = as_it_is


def normal(rng, shape, sd=SD):
    return rng.normal(scale=sd, size=shape)


def processes(rng, shape):
    """A bias of 0.8% SD for each process, and 0.3% of what is left within a trial."""
    return normal(rng, shape, 0.008) - normal(rng, shape, 0.008) + normal(rng, shape, 0.003)


def contaminated(rng, shape):
    return normal(rng, shape, 0.008) * np.where(rng.random(shape) < 0.1, 5, 1)


def modes(share):
    """Each process of either side is 4% slower with this chance."""

    def draw(rng, shape):
        slow = (rng.random(shape) < share).astype(float) - (rng.random(shape) < share)
        return normal(rng, shape) + MODE * slow

    return draw


def modes_of_one_side(rng, shape):
    """A fifth of the candidate's processes are 4% slower, so that its mean is 0 and its median below."""
    return normal(rng, shape) + MODE * ((rng.random(shape) < 0.2) - 0.2)


def alternating_drift(rng, shape):
    """The machine slows by 0.25% a trial; the side that goes second changes from trial to trial."""
    return normal(rng, shape) + 0.00125 * (-1.0) ** np.arange(shape[1])


def order_costs(rng, shape):
    """Whichever side goes second is 2% slower, and they take turns."""
    return normal(rng, shape) + 0.02 * (-1.0) ** np.arange(shape[1])


def drift_of_the_ratio(rng, shape):
    """The ratio itself falls by 0.6% over 24 trials; its mean is the truth."""
    return normal(rng, shape) + np.linspace(0.003, -0.003, shape[1])


def autocorrelated(share):
    def draw(rng, shape):
        trials = normal(rng, shape)
        for place in range(1, shape[1]):
            trials[:, place] = share * trials[:, place - 1] + sqrt(1 - share**2) * trials[:, place]
        return trials

    return draw


def opposite_modes(rng, shape):
    """A trial is 2% up or 2% down, each half the time, and hardly anything between."""
    return normal(rng, shape, 0.002) + np.where(rng.random(shape) < 0.5, 0.02, -0.02)


def ticks(trials):
    """A clock whose tick is 1% of the time."""
    return np.round(trials, 2)


NOISES = (
    Noise("normal 0.9%", normal),
    Noise("normal 0.2%", lambda rng, shape: normal(rng, shape, 0.002)),
    Noise("normal 1.5%", lambda rng, shape: normal(rng, shape, 0.015)),
    Noise("process bias 0.8% a side", processes),
    Noise("t with 3 degrees", lambda rng, shape: rng.standard_t(3, shape) * SD / sqrt(3)),
    Noise("10% contaminated 5x", contaminated),
    Noise("uniform", lambda rng, shape: rng.uniform(-1, 1, shape) * SD * sqrt(3)),
    Noise("10% of processes +4%", modes(0.1)),
    Noise("30% of processes +4%", modes(0.3)),
    Noise("skewed up", lambda rng, shape: SD * (rng.exponential(size=shape) - 1)),
    Noise("skewed down", lambda rng, shape: SD * (log(2) - rng.exponential(size=shape))),
    Noise("drift 0.25% a trial", alternating_drift),
    Noise("2% for going second", order_costs),
    Noise("clock tick of 1%", normal, after=ticks),
    Noise("autocorrelation 0.1", autocorrelated(0.1)),
    Noise("20% of one side +4%", modes_of_one_side, Promise.AWAY),
    Noise("autocorrelation 0.3", autocorrelated(0.3), Promise.AWAY),
    Noise("ratio drifts by 0.6%", drift_of_the_ratio, Promise.AWAY),
    Noise("two modes, +-2%", opposite_modes, Promise.NOTHING),
)
"""Skewed ones are centred so that neither mean nor median is above the true effect, and one is equal to it."""
