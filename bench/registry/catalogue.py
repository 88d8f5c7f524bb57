"""The registry is the list of files in ``impls/``.

A file exports one ``IMPL``, or ``IMPLS`` for the variants of one backend, and
imports its backend only while it prepares a case. Folders named in
``ATTNBENCH_IMPLS`` (separated as in ``PATH``) are searched as well. A file that
fails to import does not end the command: it is listed, by its own name, as an
implementation that is unavailable, with the reason.
"""

import difflib
import importlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType

from packaging.specifiers import SpecifierSet

from attnbench import impls
from attnbench.bench.registry.checkout import active_checkout
from attnbench.bench.registry.loading import UserFileError, import_module, is_user_file, load_module
from attnbench.bench.registry.user_file import load_user_file
from attnbench.impls.contract import Call, Implementation, Inputs, Refusal, Requirement

EXTRA_FOLDERS = "ATTNBENCH_IMPLS"
IMPORT_TIMEOUT_S = 60.0


class UnknownImplementation(ValueError):
    """A name that no file exports; the message offers the nearest ones."""


def files() -> list[Path]:
    """The files of implementations: those of ``impls/``, sorted, then those of the extra folders.

    Where this process uses another checkout, only that one's: an extra folder would be the same on both sides.
    """
    named = "" if active_checkout() else os.environ.get(EXTRA_FOLDERS, "")
    found: list[Path] = []
    for folder in map(Path, (*impls.__path__, *(folder for folder in named.split(os.pathsep) if folder))):
        found += sorted(path for path in folder.glob("*.py") if path.stem != "__init__")
    return found


@cache
def catalogue() -> dict[str, Implementation]:
    """Every implementation by name, in the order of the files."""
    found: dict[str, Implementation] = {}
    for path in files():
        for implementation in _exported(path):
            if implementation.name in found:
                raise ValueError(f"{path} exports {implementation.name!r}, which another file has already")
            found[implementation.name] = implementation
    return found


def _exported(path: Path) -> tuple[Implementation, ...]:
    """What a file exports; one unavailable implementation with the reason where the file does not import."""
    try:
        module = _module(path)
    except (ImportError, SyntaxError, UserFileError) as error:
        return (_broken(path, f"{_of_tree()}{path.name}: {error}"),)
    exported = getattr(module, "IMPLS", None) or (getattr(module, "IMPL", None),)
    if not all(isinstance(one, Implementation) for one in exported):
        return (_broken(path, f"{path} exports neither IMPL nor IMPLS"),)
    return tuple(exported)


def _module(path: Path) -> ModuleType:
    if str(path.parent) not in impls.__path__:
        return load_module(path)
    name = f"attnbench.impls.{path.stem}"
    return import_module(name, path) if active_checkout() else importlib.import_module(name)


def _of_tree() -> str:
    """Whose file it is, where that is another tree's."""
    tree = active_checkout()
    return f"{tree.label}, with this checkout's contract: " if tree else ""


def _broken(path: Path, reason: str) -> Implementation:
    def prepare(inputs: Inputs) -> Call:
        raise Refusal(reason)

    return Implementation(
        name=path.stem, summary="a file that does not import", prepare=prepare, broken=" ".join(reason.split())
    )


def find(name: str) -> Implementation:
    """The implementation of that name, or of that ``FILE.py:FUNCTION``."""
    if is_user_file(name):
        return load_user_file(name)
    known = catalogue()
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    offer = f"did you mean {', '.join(near)}?" if near else f"there are {', '.join(known) or 'none'}"
    tree = active_checkout()
    where = f" in {tree.label}" if tree else ""
    raise UnknownImplementation(f"unknown implementation {name!r}{where}: {offer} (or FILE.py:FUNCTION)")


def why_unavailable(implementation: Implementation, device: str) -> str | None:
    """Why an implementation can't run on this device here, whatever the case; None where it can."""
    reason = implementation.broken or unavailable(implementation.requires)
    if reason or implementation.lacks is None or device not in implementation.devices:
        return reason
    return implementation.lacks(device)


def unavailable(requirements: Iterable[Requirement]) -> str | None:
    """Why an implementation with these requirements can't run here, and what would install it."""
    for requirement in requirements:
        if problem := _missing(requirement) or import_problem(requirement.imported):
            return problem + (f" (install it: {requirement.install})" if requirement.install else "")
    return None


def _missing(requirement: Requirement) -> str | None:
    """What is wrong with what is installed, without importing it."""
    here = installed_version(requirement.package)
    found = importlib.util.find_spec(requirement.imported.partition(".")[0]) is not None
    if not found or (here is None and requirement.versions):
        return f"{requirement.package} is not installed"
    if requirement.versions and not SpecifierSet(requirement.versions).contains(here or "", prereleases=True):
        return f"{requirement.package} {here} is installed, {requirement.versions} is needed"
    return None


@cache
def import_problem(module: str) -> str | None:
    """What becomes of importing `module`, tried in a process of its own: it may crash or hang."""
    command = [sys.executable, "-c", f"import {module}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=IMPORT_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        return f"{module} does not import within {IMPORT_TIMEOUT_S:g} s"
    if done.returncode == 0:
        return None
    if done.returncode < 0:
        return f"{module} does not import: the process was killed by signal {-done.returncode}"
    return f"{module} does not import: {(done.stderr.strip().splitlines() or ['no message'])[-1]}"


def installed_version(package: str) -> str | None:
    """The version of an installed package, or None where it has none."""
    try:
        return version(package.replace("_", "-"))
    except PackageNotFoundError:
        return None
