"""Writing files atomically."""

import os
import tempfile
from pathlib import Path


def write_whole(path: Path, content: bytes | str) -> None:
    """Write `path` in one step, making its folder: a reader sees the old file or the new one, never a part.

    Raises OSError where it can't be written; an old file then stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(handle, "wb") as file:  # noqa: PTH123  # a handle, not a path
            file.write(data)
            os.fsync(file.fileno())
        Path(name).chmod(path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask())
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)  # there only where it was not moved into place


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
