"""Which cases: axes, products, presets, TOML files."""

from attnbench.bench.sweeps.errors import SweepError
from attnbench.bench.sweeps.limits import Limits
from attnbench.bench.sweeps.options import OverrideOption, override_options
from attnbench.bench.sweeps.sweep import FROM_OPTIONS, Sweep, load_sweep, sweep_names

__all__ = [
    "FROM_OPTIONS",
    "Limits",
    "OverrideOption",
    "Sweep",
    "SweepError",
    "load_sweep",
    "override_options",
    "sweep_names",
]
