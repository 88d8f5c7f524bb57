"""Lines of schema 1 as schema 2 has them: two names of the environment and one of a measurement were renamed."""

from typing import Any

Line = dict[str, Any]

ENVIRONMENT = {"hard": "must_match", "soft": "informational"}
MEASUREMENT = {"inside": "timed_region"}


def header(line: Line) -> Line:
    """A header, or the first line of a journal."""
    return _renamed(line, "environment", ENVIRONMENT)


def record(line: Line) -> Line:
    """A record; one of schema 2, written when an old run was resumed, is returned as it is."""
    return _renamed(line, "measurement", MEASUREMENT)


def _renamed(line: Line, field: str, names: dict[str, str]) -> Line:
    part = line.get(field)
    if not isinstance(part, dict):
        return line
    return {**line, field: {names.get(name, name): value for name, value in part.items()}}
