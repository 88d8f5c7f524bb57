"""Removes what a process leaves behind, whatever ended it: its helpers, its git worktrees, its scratch folder.

Run as a script, this file is a small process beside the one that it watches: it
holds the reading end of a pipe, and the pipe's end is the other's death. It needs
nothing but the standard library and is started without `site`, so that it is there
within milliseconds and costs a few megabytes. In a session of its own, it does not
get the signals that a terminal sends to all.

`python -I -S reaper.py FOLDER TOKEN`: `FOLDER` is to be removed, with the worktrees that
its list names; processes that carry `TOKEN` in their environment are killed first (found in
``/proc``; where there is none, workers end at the end of their own pipes).
"""

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from contextlib import suppress

OWNER_VARIABLE = "ATTNBENCH_OWNER"
WORKTREES = "worktrees.jsonl"
"""In a scratch folder: a line ``[common git folder, worktree]`` for each worktree, written before it is made."""

SERVER_FOLDER = "server-folder"
"""In a scratch folder: the folder of the fork server's socket, which nobody removes when the owner is killed."""

DEADLY = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that this process is started with blocked, and leaves so."""

ALL_WELL = b"end\n"
PATIENCE_S = 20.0
GIT_TIMEOUT_S = 60.0
OF_ONE_REPOSITORY = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_DIR",
    "GIT_INDEX_FILE",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
)
"""Set while a hook runs; they would send a command to another repository than the one that it names."""


def git_environment() -> dict[str, str]:
    """The environment for a git command that names its repository."""
    kept = {name: value for name, value in os.environ.items() if name not in OF_ONE_REPOSITORY}
    return {**kept, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}


def clear(folder: str) -> list[str]:
    """Remove a scratch folder and the worktrees that it lists; what could not be removed."""
    try:
        with open(os.path.join(folder, WORKTREES), encoding="utf-8") as file:
            lines = file.read().splitlines()
    except OSError:
        lines = []
    for line in lines:
        try:
            common, tree = json.loads(line)
        except ValueError:  # torn: its worktree was never begun
            continue
        remove_worktree(common, tree)
    _remove(folder)
    return [folder] if os.path.lexists(folder) else []


def remove_worktree(common: str, tree: str) -> None:
    """Take a worktree out of the repository whose shared folder is `common`, also a half-made one."""
    command = ["git", f"--git-dir={common}", "worktree", "remove", "--force", "--force", tree]
    null = subprocess.DEVNULL
    with suppress(OSError, subprocess.TimeoutExpired):  # no git, or one that hangs: the rest does it by hand
        subprocess.run(
            command, env=git_environment(), timeout=GIT_TIMEOUT_S, check=False, stdin=null, stdout=null, stderr=null
        )
    _remove(tree)
    entries = os.path.join(common, "worktrees")
    _remove(os.path.join(entries, os.path.basename(tree)))
    with suppress(OSError):  # other worktrees are there, or none ever was
        os.rmdir(entries)


def _remove(path: str) -> None:
    """Remove a folder; one that a build made read-only is opened first."""
    shutil.rmtree(path, ignore_errors=True)
    if not os.path.isdir(path):
        return
    for root, folders, _ in os.walk(path):
        for name in (".", *folders):
            with suppress(OSError):  # another user's: what is left says so
                os.chmod(os.path.join(root, name), stat.S_IRWXU)
    shutil.rmtree(path, ignore_errors=True)


def kill_owned(token: str) -> None:
    """Kill every process that carries the token, until two looks find none: one that just starts a program shows none."""
    end, empty = time.monotonic() + PATIENCE_S, 0
    while empty < 2 and time.monotonic() < end:
        found = owned(token)
        empty = 0 if found else empty + 1
        for pid in found:
            with suppress(OSError):  # gone by itself
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def owned(token: str) -> list[int]:
    """Processes that carry the token in their environment, but for this one."""
    wanted = f"{OWNER_VARIABLE}={token}".encode()
    found = []
    for name in os.listdir("/proc") if os.path.isdir("/proc/self") else ():
        if not name.isdigit() or int(name) == os.getpid():
            continue
        with suppress(OSError), open(f"/proc/{name}/environ", "rb") as file:  # another user's is closed to us
            if wanted in file.read().split(b"\0"):
                found.append(int(name))
    return found


def main(folder: str, token: str) -> None:
    """Wait for the end of the watched process, and clear up if it did not."""
    heard = b""
    while part := os.read(0, 64):
        heard += part
    if heard == ALL_WELL:
        return
    kill_owned(token)
    with suppress(OSError), open(os.path.join(folder, SERVER_FOLDER), encoding="utf-8") as file:  # none was started
        _remove(file.read())
    end = time.monotonic() + PATIENCE_S
    while clear(folder) and time.monotonic() < end:
        time.sleep(0.2)


if __name__ == "__main__":
    main(*sys.argv[1:])
