"""Scratch folders that are removed, however the process that uses them ends.

A folder's owner holds a lock of the operating system on a file in it. A reaper process
cleans up if the owner is killed. If the machine itself went down, the next start
finds the folder without an owner and removes it.
"""

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from signal import SIG_BLOCK, SIG_SETMASK, pthread_sigmask
from tempfile import gettempdir, mkdtemp

from filelock import FileLock, Timeout

from attnbench.bench.workers import reaper

PREFIX = "attnbench-"
LOCK = "owner.lock"


@contextmanager
def scratch() -> Iterator[Path]:
    """An empty folder; it and the worktrees that it lists are removed when the context or the process ends."""
    for stale in ownerless(Path(gettempdir())):
        _warn_of(reaper.clear(str(stale)))
    folder, lock = _take()
    watcher = _watcher(folder)
    try:
        yield folder
    finally:
        _warn_of(reaper.clear(str(folder)))
        lock.release()
        watcher.communicate(reaper.ALL_WELL)


@cache
def token() -> str:
    """A value in the environment of all processes that this one starts, by which they are found."""
    os.environ[reaper.OWNER_VARIABLE] = found = secrets.token_hex(8)
    return found


def ownerless(parent: Path) -> Iterator[Path]:
    """Scratch folders of this user whose owner has ended; each is locked while it is yielded."""
    for folder in sorted(parent.glob(f"{PREFIX}*")):
        try:
            if folder.is_symlink() or folder.stat().st_uid != os.getuid() or not (folder / LOCK).is_file():
                continue
            with FileLock(folder / LOCK).acquire(timeout=0):
                yield folder
        except (Timeout, OSError):
            continue  # it is in use, or another start clears it at this moment


def _take() -> tuple[Path, FileLock]:
    while True:
        folder = Path(mkdtemp(prefix=PREFIX)).resolve()
        lock = FileLock(folder / LOCK)
        try:
            lock.acquire(timeout=0)
        except (Timeout, OSError):
            if not folder.parent.is_dir():
                raise
            continue  # another start took it for one without an owner, before this one held it
        if lock.lock_file and Path(lock.lock_file).exists():
            return folder, lock
        lock.release()


def _watcher(folder: Path) -> subprocess.Popen[bytes]:
    script = str(Path(reaper.__file__).resolve())
    environment = {name: value for name, value in os.environ.items() if name != reaper.OWNER_VARIABLE}
    # It is born with these blocked, so that there is no moment in which they end it.
    before = pthread_sigmask(SIG_BLOCK, reaper.DEADLY)
    try:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", script, str(folder), token()],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env=environment,
            start_new_session=True,
        )
    finally:
        pthread_sigmask(SIG_SETMASK, before)


def _warn_of(left: list[str]) -> None:
    for path in left:
        print(f"attnbench: can't remove {path}; remove it by hand", file=sys.stderr)
