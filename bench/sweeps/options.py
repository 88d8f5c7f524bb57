"""The command line's options that override a sweep, as data: one an axis, one a limit."""

from dataclasses import dataclass

from attnbench.bench.sweeps.axes import AXES


@dataclass(frozen=True, slots=True)
class OverrideOption:
    """``flag METAVAR`` sets `key` in the overrides of :func:`attnbench.bench.sweeps.load_sweep`."""

    flag: str
    key: str
    metavar: str
    help: str


def _flag(key: str) -> str:
    return f"--{key.replace('_', '-')}"


override_options: tuple[OverrideOption, ...] = (
    *(OverrideOption(_flag(axis.name), axis.name, axis.metavar, axis.help) for axis in AXES.values()),
    OverrideOption("--max-memory", "max_memory", "SIZE", "skip cases whose inputs and scores need more: 4GiB"),
    OverrideOption("--max-inputs", "max_inputs", "SIZE", "skip cases whose inputs need more: 4GiB"),
    OverrideOption("--max-seconds", "max_seconds", "S", "stop a case with an implementation after this long"),
)
