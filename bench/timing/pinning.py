"""Pinned threads on a CPU: thread i of OpenMP stays on one CPU of its own, so that no sample holds a migration.

OpenMP's library reads its places from the environment when it is loaded, which is in the fork server; every
team of threads that a worker makes later takes them, those that a library makes anew in the middle of a call too.
It binds the main thread as well, and a thread that a kernel starts by itself would inherit that one CPU: so a
worker's main thread is let free at first, and is pinned only while samples are taken. No torch.
"""

import os
from collections.abc import Iterable
from pathlib import Path

ORDER = "ATTNBENCH_PINNED_CPUS"
"""Tells a worker the CPUs of its threads, in order; where it is not set, nothing was pinned here."""

OWN = ("OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY", "KMP_AFFINITY")
"""Variables by which a user places threads; if one of them is set, nothing is pinned here."""

SIBLINGS = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
TASKS = Path("/proc/self/task")


def variables() -> dict[str, str]:
    """Variables that must be set before OpenMP is loaded; empty where :func:`why_not` gives a reason."""
    if why_not():
        return {}
    order = last_cores_first(os.sched_getaffinity(0))
    return {
        "OMP_PROC_BIND": "close",
        "OMP_PLACES": ",".join(f"{{{cpu}}}" for cpu in order),
        ORDER: ",".join(map(str, order)),
    }


def why_not() -> str:
    """Why threads are not pinned by us; '' where they are or can be."""
    if ORDER in os.environ:
        return ""
    if not hasattr(os, "sched_setaffinity"):
        return "this system has no way to pin a thread"
    if own := [name for name in OWN if name in os.environ]:
        return f"{own[0]} is set, and decides"
    wanted = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    if wanted.isdigit() and int(wanted) > len(os.sched_getaffinity(0)):
        return f"OMP_NUM_THREADS is {wanted}, more than the CPUs there are"
    return ""


def last_cores_first(cpus: Iterable[int]) -> tuple[int, ...]:
    """The CPUs from the last, which see fewer interrupts than the first; one of each core before any core's second."""
    seen: dict[str, int] = {}
    turns = []
    for cpu in sorted(cpus, reverse=True):
        core = _siblings(cpu)
        turns.append((seen.get(core, 0), -cpu))
        seen[core] = seen.get(core, 0) + 1
    return tuple(-cpu for _, cpu in sorted(turns))


def _siblings(cpu: int) -> str:
    """What the CPUs of one core have in common; a CPU of its own where the system does not tell."""
    try:
        return Path(SIBLINGS.format(cpu)).read_text().strip()
    except OSError:
        return str(cpu)


def order() -> tuple[int, ...]:
    """The CPUs of this worker's threads; empty where nothing was pinned here."""
    return tuple(map(int, os.environ[ORDER].split(","))) if ORDER in os.environ else ()


def let_free() -> None:
    """Unbind a worker's main thread from the CPU to which OpenMP bound it when it was loaded."""
    if cpus := order():
        os.sched_setaffinity(0, cpus)


class MainThread:
    """The main thread of a worker, pinned to the first place while samples are taken."""

    def __init__(self) -> None:
        self._before: frozenset[int] = frozenset()

    def pin(self) -> None:
        """To the first CPU of the order that it may use; to none where nothing was pinned here."""
        if cpus := order():
            self._before = frozenset(os.sched_getaffinity(0))
            os.sched_setaffinity(0, {next((cpu for cpu in cpus if cpu in self._before), min(self._before))})

    def free(self) -> None:
        """Back to where it was before :meth:`pin`."""
        if self._before:
            os.sched_setaffinity(0, self._before)
            self._before = frozenset()


def pinned(threads: int) -> tuple[int, ...]:
    """The CPU of each of this process's `threads` OpenMP threads; empty where one of them may go elsewhere.

    A thread that somebody else started and that shares its CPU with an earlier one is not OpenMP's.
    """
    if not TASKS.exists():
        return ()
    found: list[int] = []
    for task in sorted(int(path.name) for path in TASKS.iterdir()):
        cpus = _affinity(task)
        if task == os.getpid() and len(cpus) != 1:
            return ()
        if len(cpus) == 1 and not cpus & set(found):
            found += cpus
    return tuple(found[:threads]) if len(found) >= threads else ()


def _affinity(task: int) -> set[int]:
    try:
        return os.sched_getaffinity(task)
    except ProcessLookupError:  # it has ended meanwhile
        return set()
