"""A sweep's TOML file: read, with the line of every key at hand, and checked key by key."""

import difflib
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from attnbench.bench.sweeps.axes import AXES, contradiction
from attnbench.bench.sweeps.errors import SweepError
from attnbench.bench.sweeps.groups import Group, checked_zips
from attnbench.bench.sweeps.readers import Value

HEADER = re.compile(r"\s*(\[\[?)\s*([\w.\-]+)\s*\]\]?\s*(?:#.*)?$")
KEY = re.compile(r"\s*[\"']?([\w\-]+)[\"']?\s*[.=]")
TOP = ("description", "include", "implementations", "limits", "axes", "defaults", "cases")
TABLES = ("limits", "axes", "defaults")


@dataclass(frozen=True)
class Document:
    """A parsed file; `lines` finds the line of a key."""

    path: Path
    text: str
    tables: Mapping[str, Any]

    @cached_property
    def lines(self) -> dict[tuple[str, int, str], int]:
        """Line of each key by (table, number of the table in its array, key); a table's own line has key ""."""
        found: dict[tuple[str, int, str], int] = {}
        table, counts = "", {"": 0}
        for number, line in enumerate(self.text.splitlines(), start=1):
            if header := HEADER.match(line):
                table = header[2]
                counts[table] = counts.get(table, -1) + 1
                found.setdefault((table, counts[table], ""), number)
            elif key := KEY.match(line):
                found.setdefault((table, counts[table], key[1]), number)
        return found

    def where(self, table: str, key: str = "", index: int = 0) -> str:
        """``FILE:LINE`` of a key; of its table where the key has no line of its own."""
        places = ((table, index, key), (key, 0, "") if not table else (table, index, ""), ("", 0, table))
        line = next((self.lines[place] for place in places if place in self.lines), None)
        return f"{self.path}:{line}" if line else str(self.path)

    def at(self, table: str, key: str, problem: object, index: int = 0) -> SweepError:
        """The error for this key."""
        return SweepError(f"{self.where(table, key, index)}: {key}: {problem}")

    def checked(self, table: str, key: str, parse: Callable[[Any], Any], value: object, index: int = 0) -> Any:
        """`value` as `parse` reads it; its SweepError is raised again with file, line and key."""
        try:
            return parse(value)
        except SweepError as error:
            raise self.at(table, key, error, index) from error


def read(path: Path) -> Document:
    """The file at `path`; SweepError where it can't be read, is no TOML, or has an unknown key."""
    text = ""
    try:
        text = path.read_text(encoding="utf-8")
        document = Document(path, text, tomllib.loads(text))
    except OSError as error:
        raise SweepError(f"{path}: can't be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SweepError(f"{_place(path, text, str(error))}: is no TOML: {error}") from error
    for key, value in document.tables.items():
        known(document, "", key, TOP)
        if key in TABLES and not isinstance(value, dict):
            raise document.at("", key, f"{value!r}: expected a table, [{key}]")
    return document


def _place(path: Path, text: str, message: str) -> str:
    line = re.search(r"at line (\d+)", message)
    number = line[1] if line else len(text.splitlines())
    return f"{path}:{number}" if number else str(path)


def known(document: Document, table: str, key: str, allowed: Iterable[str], index: int = 0) -> None:
    """Refuse a key that is none of `allowed`, offering the nearest."""
    names = list(allowed)
    if key in names:
        return
    near = difflib.get_close_matches(key, names, n=1)
    offer = f"did you mean {near[0]}? " if near else ""
    raise document.at(table, key, f"unknown key; {offer}expected one of {', '.join(names)}", index)


def groups(document: Document) -> list[Group]:
    """Every ``[[cases]]`` of the file, the defaults filled in."""
    named = document.tables.get("axes", {})
    defaults = _axes(document, "defaults", document.tables.get("defaults", {}), named)
    if problem := contradiction(defaults):
        raise document.at("defaults", problem.split(" ", maxsplit=1)[0], problem)
    tables = document.tables.get("cases", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise document.at("", "cases", "is no array of tables: expected [[cases]]")
    return [_group(document, index, table, defaults, named) for index, table in enumerate(tables)]


def _group(
    document: Document,
    index: int,
    table: dict[str, Any],
    defaults: dict[str, tuple[Value, ...]],
    named: Mapping[str, Any],
) -> Group:
    table = dict(table)
    zips = table.pop("zip", [])
    own = _axes(document, "cases", table, named, index)
    if problem := contradiction(own):
        raise document.at("cases", problem.split(" ", maxsplit=1)[0], problem, index)
    displaced = set().union(*(AXES[name].displaces for name in own))
    axes = {name: values for name, values in defaults.items() if name not in displaced} | own
    zips = [zips] if zips and all(isinstance(name, str) for name in zips) else zips
    if not isinstance(zips, list) or not all(isinstance(names, list) for names in zips):
        raise document.at("cases", "zip", f"{zips!r}: expected a list of axes, or a list of such lists", index)
    checked = document.checked("cases", "zip", lambda names: checked_zips(names, axes), zips, index)
    return Group(axes, checked, document.where("cases", index=index))


def _axes(
    document: Document, where: str, table: Mapping[str, Any], named: Mapping[str, Any], index: int = 0
) -> dict[str, tuple[Value, ...]]:
    found = {}
    for name, written in table.items():
        known(document, where, name, (*AXES, "zip") if where == "cases" else AXES, index)
        value = written
        if isinstance(written, str) and written.startswith("@"):
            if written[1:] not in named:
                expected = ", ".join(f"@{n}" for n in named) or "one that stands in [axes]"
                raise document.at(where, name, f"there is no axis {written!r}: expected {expected}", index)
            value = named[written[1:]]
        found[name] = document.checked(where, name, AXES[name].parse, value, index)
        if not found[name]:
            raise document.at(where, name, "is empty: expected at least one value", index)
    return found
