"""Compiled kernels that are kept between calls, by source, options and compiler."""

import hashlib
import os
import tempfile
import zlib
from pathlib import Path

import msgspec

from attnbench.bench.codegen.binary import Binary

FORMAT = 2
"""Part of every key: raise it when `Binary` changes."""


def folder() -> Path:
    """Where they are kept: ``ATTNBENCH_CODEGEN_CACHE``, or ``attnbench/codegen`` in the user's cache folder."""
    named = os.environ.get("ATTNBENCH_CODEGEN_CACHE")
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(named) if named else home / "attnbench" / "codegen"


def key(*parts: object) -> str:
    """A name for what `parts` describe; they are compared by their printed form."""
    return hashlib.sha256(repr((FORMAT, *parts)).encode()).hexdigest()


def load(name: str) -> Binary | None:
    """The kernel kept under `name`, or None. A damaged file is removed: it can be made again."""
    path = folder() / f"{name}.z"
    try:
        return msgspec.msgpack.decode(zlib.decompress(path.read_bytes()), type=Binary)
    except FileNotFoundError:
        return None
    except (zlib.error, msgspec.DecodeError):
        path.unlink(missing_ok=True)
        return None


def save(name: str, binary: Binary) -> None:
    """Keep `binary`; another process that does the same at once does no harm."""
    folder().mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder(), delete=False) as file:
        file.write(zlib.compress(msgspec.msgpack.encode(binary)))
    Path(file.name).replace(folder() / f"{name}.z")
