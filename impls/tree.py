"""Implementations of another checkout: its files in place of this one's, judged by this one's harness.

Two revisions are compared by one and the same harness, so that a difference is one
of the kernels. The modules named in ``HARNESS`` stay this checkout's; all others of
the package ``impls`` come from the tree, and from nowhere else: what the tree lacks does not
import, rather than be found here. A process takes one tree, once, and for good.
"""

import importlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.machinery import PathFinder
from importlib.metadata import packages_distributions
from pathlib import Path

import impls

HARNESS = frozenset({"contract", "loading", "reference", "registry", "tensors", "tree", "user_file"})
"""Modules that are no implementations; a tree's own files of these names are not used."""

ROOMS = frozenset({"bench", "impls", "reports"})
_taken: list["Tree"] = []


class TreeError(RuntimeError):
    """A tree can't be taken, or something that was imported is not its own."""


@dataclass(frozen=True)
class Tree:
    """The root of a checkout, and the words for it: ``main (0123456789ab)``."""

    path: Path
    label: str

    @property
    def importable(self) -> tuple[Path, ...]:
        """Folders that are importable while a file of the tree loads."""
        source = self.path / "src"
        return (self.path, source) if source.is_dir() else (self.path,)

    def has(self, module: str) -> bool:
        """Whether a top-level module of that name lies in an importable folder; a folder without Python is none."""
        spec = PathFinder.find_spec(module, [str(folder) for folder in self.importable])
        if spec is None or spec.has_location:
            return spec is not None
        return any(next(Path(place).glob("*.py"), None) for place in spec.submodule_search_locations or ())

    def strangers(self) -> list[str]:
        """Modules that the tree has itself but that were imported from elsewhere, with what belongs to them.

        An installed copy of the package under test would be measured for both sides;
        so would its compiled part, which is installed with it under another name.
        """
        names = {name.partition(".")[0] for name in sys.modules} - ROOMS - sys.stdlib_module_names
        elsewhere = {name: origin for name in names if (origin := _origin(name)) and not self._holds(origin)}
        own = {name for name in elsewhere if self.has(name)}
        if any(map(self.has, names)):
            provided = _provided()
            projects = {project for name in names if self.has(name) for project in provided.get(name, ())}
            own |= {name for name in elsewhere if projects & set(provided.get(name, ()))}
        return sorted(f"{name} ({elsewhere[name]})" for name in own)

    def _holds(self, origin: Path) -> bool:
        return origin.is_relative_to(self.path)


@cache
def _provided() -> Mapping[str, list[str]]:
    """The installed projects that provide each top-level module."""
    return packages_distributions()


def _origin(name: str) -> Path | None:
    """Where a loaded module comes from."""
    module = sys.modules.get(name)
    places = [getattr(module, "__file__", None), *getattr(module, "__path__", ())]
    return next((Path(place).resolve() for place in places if place), None)


def taken() -> Tree | None:
    """The tree that this process took, if any."""
    return _taken[0] if _taken else None


def take(path: Path, label: str) -> None:
    """From now on, implementations are those of the checkout at `path`; raises TreeError when it is too late."""
    for name in sorted(HARNESS):
        importlib.import_module(f"impls.{name}")
    parts = {name.split(".")[1] for name in sys.modules if name.startswith("impls.")}
    if _taken or parts - HARNESS:
        loaded = ", ".join(sorted(parts - HARNESS)) or f"those of {_taken[0].label}"
        raise TreeError(f"can't take the implementations of {label}: this process has {loaded} already")
    _taken.append(Tree(path.resolve(), label))
    impls.__path__ = [str(path.resolve() / "impls")]


def require_own() -> None:
    """Raise TreeError when something of the tree that this process took was imported from elsewhere."""
    tree = taken()
    if tree and (found := tree.strangers()):
        raise TreeError(
            f"not the code of {tree.label}: {', '.join(found)} was imported, of which the tree has its own; "
            "build it in the tree (--setup), and import it while the file loads"
        )
