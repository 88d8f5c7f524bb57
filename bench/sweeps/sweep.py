"""A sweep: a name, the cases it makes, and what it leaves out."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from attnbench.bench.sweeps import toml
from attnbench.bench.sweeps.axes import AXES, contradiction
from attnbench.bench.sweeps.build import cases_of
from attnbench.bench.sweeps.errors import SweepError
from attnbench.bench.sweeps.groups import Group, Point
from attnbench.bench.sweeps.limits import Limits, byte_count, seconds
from attnbench.bench.sweeps.readers import Value, texts
from attnbench.impls.contract import Case, CaseError

FOLDER = Path(__file__).parent
FROM_OPTIONS = "options"
"""The name of a sweep without a file: one product of the axes on the command line."""

NO_LIMITS = Limits()
NOT_SWEEPS = frozenset({"models"})
LIMITS = {
    "memory": ("memory_bytes", byte_count),
    "inputs": ("input_bytes", byte_count),
    "seconds": ("case_seconds", seconds),
}
"""Name in a file and on the command line (``max_memory``): field and reader."""


@dataclass(frozen=True)
class Sweep:
    """Cases in the order in which they run; `skipped` holds (id or description, reason)."""

    name: str
    cases: tuple[Case, ...]
    limits: Limits = NO_LIMITS
    skipped: tuple[tuple[str, str], ...] = ()
    implementations: tuple[str, ...] = ()
    description: str = ""
    path: Path | None = None


@dataclass(frozen=True)
class Source:
    """A file with what it includes, before its products are taken."""

    groups: tuple[Group, ...]
    limits: Limits
    implementations: tuple[str, ...]
    description: str


def sweep_names() -> list[str]:
    """Names of the sweeps that come along, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.toml") if path.stem not in NOT_SWEEPS)


def load_sweep(name_or_path: str, overrides: Mapping[str, str] = {}) -> Sweep:  # never written to
    """The sweep of that name, or in that TOML file, with `overrides` in place of its own axes.

    Keys of `overrides` are axes and limits as in :data:`override_options`
    (``q_len``, ``max_memory``, …), values are what stands on the command line.
    ``options`` as a name is a sweep of the overrides alone. Raises SweepError.
    """
    values, limits = _overrides(overrides)
    if name_or_path == FROM_OPTIONS:
        source, path = Source((Group({}),), Limits(), (), "made of the command line's options"), None
    else:
        path = sweep_path(name_or_path)
        source = _source(path, ())
    groups = [group.overridden(values) for group in source.groups]
    bounds = replace(source.limits, **limits)
    cases, skipped = _expand(groups, bounds)
    if not cases:
        reasons = "; ".join(f"{point}: {reason}" for point, reason in skipped[:3])
        problem = f"every case is left out ({reasons})" if reasons else "there is no case: expected [[cases]]"
        raise SweepError(f"{path or 'the command line'}: {problem}")
    name = path.stem if path else FROM_OPTIONS
    return Sweep(name, cases, bounds, skipped, source.implementations, source.description, path)


def sweep_path(name_or_path: str, beside: Path | None = None) -> Path:
    """The file of a sweep: one that comes along, or a path (relative to `beside` where given)."""
    known = FOLDER / f"{name_or_path}.toml"
    if name_or_path in sweep_names():
        return known
    path = (beside or Path()) / name_or_path
    if path.is_file():
        return path
    file = " and no such file" if path.suffix == ".toml" else ""
    looked = "" if file else " (or the path of a .toml file)"
    raise SweepError(f"there is no sweep {name_or_path!r}{file}: expected {', '.join(sweep_names())}{looked}")


def _overrides(overrides: Mapping[str, str]) -> tuple[dict[str, tuple[Value, ...]], dict[str, Any]]:
    values: dict[str, tuple[Value, ...]] = {}
    limits: dict[str, Any] = {}
    for key, text in overrides.items():
        option, limit = f"--{key.replace('_', '-')}", LIMITS.get(key.removeprefix("max_"))
        if key not in AXES and not (limit and key.startswith("max_")):
            raise SweepError(f"{option}: unknown option: expected one of {', '.join(AXES)}")
        try:
            if key in AXES:
                values[key] = AXES[key].parse(text)
            elif limit:
                limits[limit[0]] = limit[1](text)
        except SweepError as error:
            raise SweepError(f"{option}: {error}") from error
    if problem := contradiction(values):
        raise SweepError(f"on the command line {problem}")
    return values, limits


def _source(path: Path, including: tuple[Path, ...]) -> Source:
    resolved = path.resolve()
    if resolved in including:
        chain = " -> ".join(p.name for p in (*including, resolved))
        raise SweepError(f"{path}: include goes in a circle ({chain}): expected files that end somewhere")
    document = toml.read(path)
    tables = document.tables
    included = []
    for name in document.checked("", "include", texts, tables.get("include", [])):
        found = document.checked("", "include", lambda n: sweep_path(n, path.parent), name)
        included.append(_source(found, (*including, resolved)))
    limits: dict[str, Any] = {}
    for base in included:
        limits |= {field: v for field in Limits.__slots__ if (v := getattr(base.limits, field)) is not None}
    for key, value in tables.get("limits", {}).items():
        toml.known(document, "limits", key, LIMITS)
        field, read = LIMITS[key]
        limits[field] = document.checked("limits", key, read, value)
    names = document.checked("", "implementations", texts, tables.get("implementations", []))
    return Source(
        (*(group for base in included for group in base.groups), *toml.groups(document)),
        Limits(**limits),
        names or tuple(name for base in included for name in base.implementations),
        str(tables.get("description", "")),
    )


def _expand(groups: list[Group], limits: Limits) -> tuple[tuple[Case, ...], tuple[tuple[str, str], ...]]:
    """Cases in order, each once, and what is left out with its reason."""
    cases: dict[str, Case] = {}
    skipped: dict[str, str] = {}
    for group in groups:
        for point in group.points():
            try:
                found = list(cases_of(point))
            except CaseError as error:
                skipped[_description(point)] = f"can't be built: {error}"
                continue
            except SweepError as error:
                raise SweepError(f"{group.where}: {error}") from error
            for case in found:
                if reason := limits.refusal(case):
                    skipped[case.id] = reason
                else:
                    cases.setdefault(case.id, case)
    return tuple(cases.values()), tuple(skipped.items())


def _description(point: Point) -> str:
    return ", ".join(f"{name}={value}" for name, value in point.items())
