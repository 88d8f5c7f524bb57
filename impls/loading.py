"""A user's Python file as a module: the one place where a stranger's code is imported. No torch."""

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from traceback import extract_tb
from types import ModuleType


class UserFileError(ValueError):
    """A file is not there or does not import; the message says why."""


def load_module(path: Path) -> ModuleType:
    """`path` as a module; its folder is importable while it loads, and only then. Raises UserFileError."""
    spec = importlib.util.spec_from_file_location(f"attnbench_user_{path.stem}", path.resolve())
    if spec is None or spec.loader is None or not path.is_file():
        raise UserFileError(f"there is no Python file {path}")
    module = importlib.util.module_from_spec(spec)
    with _importable(path.resolve().parent):
        sys.modules[spec.name] = module  # dataclasses and Triton look a module up by name
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:  # a stranger's file may raise anything; it becomes one clear line
            del sys.modules[spec.name]
            words = " ".join(str(error).split())
            raise UserFileError(
                f"{path} does not import: {type(error).__name__}: {words}{_where(path, error)}"
            ) from error
    return module


def _where(path: Path, error: BaseException) -> str:
    """The line of `path` at which an error arose, in words."""
    lines = [frame.lineno for frame in extract_tb(error.__traceback__) if Path(frame.filename) == path.resolve()]
    return f" (line {lines[-1]})" if lines else ""


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
