"""A file of JSON Lines with one writer: each line is synced to disk, and an incomplete last line is removed.

The operating system holds the lock, on an empty file beside it, so that it ends with the process
that holds it, however that ends.
"""

import os
from pathlib import Path

from filelock import FileLock, Timeout

from attnbench.bench.records.schema import Kept, as_json


class StoreError(Exception):
    """A file of results can't be read or written; the message says which file and what to do."""


class LineWriter:
    """Holds the lock of a file and appends to it.

    `busy` describes what another writer does, for the error; `elsewhere` is what to do if the
    file can't be written.
    """

    def __init__(self, path: Path, lock: Path, *, busy: str, elsewhere: str) -> None:
        self.path, self._elsewhere = path, elsewhere
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._cannot_write(error) from error
        self._lock = FileLock(lock)
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise StoreError(f"{busy}; wait for it, or {elsewhere}") from error
        except OSError as error:
            raise self._cannot_write(error) from error
        self._file = -1

    def cut_torn_line(self) -> int:
        """Remove a last line that has no end, since its writing was interrupted; the number of bytes removed."""
        raw = self.path.read_bytes() if self.path.exists() else b""
        whole = raw.rfind(b"\n") + 1
        if whole != len(raw):
            os.truncate(self.path, whole)
        return len(raw) - whole

    def append(self, value: Kept) -> None:
        """Write one line and sync it to disk; where there is no room for it, nothing of it remains."""
        if self._file < 0:
            self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        line, end = as_json(value) + b"\n", self.path.stat().st_size
        try:
            while line:
                line = line[os.write(self._file, line) :]
            os.fsync(self._file)
        except OSError as error:
            os.truncate(self.path, end)
            raise StoreError(
                f"can't write to {self.path}: {error.strerror}; what was finished is kept, "
                "--resume continues from there"
            ) from error

    def close(self) -> None:
        """Let go of the file and of the lock."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        self._lock.release()

    def _cannot_write(self, error: OSError) -> StoreError:
        return StoreError(f"can't write to {self.path.parent}: {error.strerror}; {self._elsewhere}")
