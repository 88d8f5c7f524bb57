"""Probes: short fixed work, whose time shows how fast the CPU itself is at this moment."""

from collections.abc import Callable
from time import perf_counter_ns

import torch

SIZE = 192
COPIED = 1 << 18
SHARED, REGIONS = 1 << 16, 20
"""Elements that two threads share in each of so many parallel regions: waking and waiting is most of it."""

TIMES = 15


def probes_us() -> dict[str, float]:
    """Least times of a few, in microseconds: of work on one thread, and of work that all threads share.

    Where a virtual machine's CPUs lie on the host can change from one second to the next: one
    thread is then as fast as before, while threads that wait for each other are not.
    """
    x, product = torch.ones(SIZE, SIZE), torch.empty(SIZE, SIZE)
    source, target = torch.ones(COPIED), torch.empty(COPIED)
    shared = torch.ones(SHARED)

    def alone() -> None:
        torch.mm(x, x, out=product)
        target.copy_(source)

    def together() -> None:
        for _ in range(REGIONS):
            torch.neg(shared, out=shared)

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        found = {"probe_us": _least_us(alone)}
    finally:
        torch.set_num_threads(threads)
    return found | ({"shared_probe_us": _least_us(together)} if threads > 1 else {})


def _least_us(work: Callable[[], None]) -> float:
    times_ns = []
    for _ in range(TIMES):
        start = perf_counter_ns()
        work()
        times_ns.append(perf_counter_ns() - start)
    return min(times_ns) / 1e3
