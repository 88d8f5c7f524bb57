"""Implementations of another checkout: its files instead of this one's, judged by this one's harness.

Two revisions are compared by the same harness, so that a difference comes from
the kernels. The contract is this checkout's; all other modules of the
package ``impls`` come from the other checkout alone, so a module that it lacks fails to
import and is not taken from here. A process uses at most one other checkout, for its whole life.
"""

import importlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.machinery import PathFinder
from importlib.metadata import packages_distributions
from pathlib import Path

from attnbench import impls

SHARED = "contract"
"""The one module of ``impls`` that is no implementation; a checkout's own is not used."""

OWN = frozenset({"attnbench", "bench"})
"""Top-level modules of this harness: ``python -m bench`` is the second."""
_active: list["Checkout"] = []


class CheckoutError(RuntimeError):
    """A checkout can't be used, or something was imported that is not its own."""


@dataclass(frozen=True)
class Checkout:
    """The root of a checkout, and its label for messages: ``main (0123456789ab)``."""

    path: Path
    label: str

    @property
    def importable(self) -> tuple[Path, ...]:
        """Folders that are importable while a file of the checkout loads."""
        source = self.path / "src"
        return (self.path, source) if source.is_dir() else (self.path,)

    def has(self, module: str) -> bool:
        """Whether a top-level module of that name lies in an importable folder; a folder without Python is none."""
        spec = PathFinder.find_spec(module, [str(folder) for folder in self.importable])
        if spec is None or spec.has_location:
            return spec is not None
        return any(next(Path(place).glob("*.py"), None) for place in spec.submodule_search_locations or ())

    def foreign_modules(self) -> list[str]:
        """Modules that the checkout has but that were imported from elsewhere, with what was installed along with them.

        An installed copy of the package under test would be measured for both sides;
        so would its compiled part, which is installed with it under another name.
        """
        names = {name.partition(".")[0] for name in sys.modules} - OWN - sys.stdlib_module_names
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


def active_checkout() -> Checkout | None:
    """The checkout that this process uses, if any."""
    return _active[0] if _active else None


def use_checkout(path: Path, label: str) -> None:
    """From now on, implementations are those of the checkout at `path`; raises CheckoutError when it is too late."""
    importlib.import_module(f"attnbench.impls.{SHARED}.tensors")
    parts = {name.split(".")[2] for name in sys.modules if name.startswith("attnbench.impls.")} - {SHARED}
    if _active or parts:
        loaded = ", ".join(sorted(parts)) or f"those of {_active[0].label}"
        raise CheckoutError(f"can't use the implementations of {label}: this process has already loaded {loaded}")
    _active.append(Checkout(path.resolve(), label))
    impls.__path__ = [str(path.resolve() / "impls")]


def require_own_modules() -> None:
    """Raise CheckoutError if a module that the active checkout has was imported from elsewhere."""
    tree = active_checkout()
    if tree and (found := tree.foreign_modules()):
        raise CheckoutError(
            f"not the code of {tree.label}: {', '.join(found)} was imported, although the checkout has its own; "
            "build it in the checkout (--setup), and import it while the file loads"
        )
