"""The registry is the list of files in this folder.

A file exports one ``IMPL``, or ``IMPLS`` for the variants of one backend. A file
that fails to import is a reason, not a crash: it stands in the list as an
implementation that is unavailable.
"""

import difflib
import importlib
import importlib.util
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.specifiers import SpecifierSet

from impls.contract import Implementation, Requirement
from impls.user_file import is_user_file, load_user_file

NOT_IMPLEMENTATIONS = frozenset({"__init__", "registry", "reference", "tensors", "user_file"})


class UnknownImplementation(ValueError):
    """A name that no file exports; the message offers the nearest ones."""


def files() -> list[str]:
    """Module names of the implementations, sorted."""
    found = (path.stem for path in Path(__file__).parent.glob("*.py"))
    return sorted(name for name in found if name not in NOT_IMPLEMENTATIONS)


@cache
def catalogue() -> dict[str, Implementation]:
    """Every implementation by name, in the order of the files."""
    found: dict[str, Implementation] = {}
    for name in files():
        module = importlib.import_module(f"impls.{name}")
        for implementation in getattr(module, "IMPLS", None) or (module.IMPL,):
            if implementation.name in found:
                raise ValueError(f"impls/{name}.py exports {implementation.name!r}, which another file has already")
            found[implementation.name] = implementation
    return found


def find(name: str) -> Implementation:
    """The implementation of that name, or of that ``FILE.py:FUNCTION``."""
    if is_user_file(name):
        return load_user_file(name)
    known = catalogue()
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    offer = f"did you mean {', '.join(near)}?" if near else f"there are {', '.join(known)}"
    raise UnknownImplementation(f"unknown implementation {name!r}: {offer} (or FILE.py:FUNCTION)")


def unavailable(requirements: Iterable[Requirement]) -> str | None:
    """Why an implementation with these requirements can't run here, and what would install it."""
    for requirement in requirements:
        if importlib.util.find_spec(requirement.package) is None:
            return f"{requirement.package} is not installed{_how(requirement)}"
        here = installed_version(requirement.package)
        if here and requirement.versions and here not in SpecifierSet(requirement.versions):
            return f"{requirement.package} {here} is installed, {requirement.versions} is needed{_how(requirement)}"
    return None


def installed_version(package: str) -> str | None:
    """The version of an installed package, or None where it has none."""
    try:
        return version(package.replace("_", "-"))
    except PackageNotFoundError:
        return None


def _how(requirement: Requirement) -> str:
    return f" (install it: {requirement.install})" if requirement.install else ""
