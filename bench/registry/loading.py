"""A user's Python file as a module: the one place where code of users is imported. No torch."""

import importlib
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from traceback import extract_tb
from types import ModuleType


class UserFileError(ValueError):
    """A file is not there or does not import; the message says why."""


def is_user_file(name: str) -> bool:
    """Whether `name` has the form ``FILE.py:FUNCTION`` (or forgets the function)."""
    return ".py:" in name or name.endswith(".py")


def load_module(path: Path, importable: Sequence[Path] = ()) -> ModuleType:
    """`path` as a module; its folder is importable while it loads, and only then. Raises UserFileError.

    So are the folders `importable`, after its own.
    """
    spec = importlib.util.spec_from_file_location(f"attnbench_user_{path.stem}", path.resolve())
    if spec is None or spec.loader is None or not path.is_file():
        raise UserFileError(f"there is no Python file {path}")
    module = importlib.util.module_from_spec(spec)
    with _importable(path.resolve().parent, *importable), _strange(path):
        sys.modules[spec.name] = module  # dataclasses and Triton look a module up by name
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[spec.name]
            raise
    return module


def import_module(name: str, path: Path) -> ModuleType:
    """The module `name`, whose file is `path`, of another checkout. Raises UserFileError."""
    with _strange(path):
        return importlib.import_module(name)


@contextmanager
def _strange(path: Path) -> Iterator[None]:
    """Whatever the code of `path` raises becomes one clear line."""
    try:
        yield
    except (Exception, SystemExit) as error:  # a stranger's file may raise anything
        words = in_words(error)
        raise UserFileError(
            f"{path} does not import: {type(error).__name__}: {words}{_where(path, error)}"
        ) from error


def in_words(error: BaseException) -> str:
    """The error's own message in one line; what Triton says without a GPU in words that help."""
    words = " ".join(str(error).split())
    if "0 active drivers" not in words:
        return words
    return (
        "Triton finds no GPU here; on a CPU its kernels run in its interpreter: set TRITON_INTERPRET=1 "
        "(a file that imports triton itself gets that from --device cpu)"
    )


def _where(path: Path, error: BaseException) -> str:
    """`` (line N)``: the line of `path` where an error arose; '' where it arose elsewhere."""
    lines = [frame.lineno for frame in extract_tb(error.__traceback__) if Path(frame.filename) == path.resolve()]
    return f" (line {lines[-1]})" if lines else ""


@contextmanager
def _importable(*folders: Path) -> Iterator[None]:
    before = list(map(str, folders))
    sys.path[:0] = before
    try:
        yield
    finally:
        for folder in before:
            sys.path.remove(folder)
