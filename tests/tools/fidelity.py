"""``python -m tests.tools.fidelity``: our medians beside those of ``torch.utils.benchmark``.

Both time the same calls in one process, taking turns in a seeded random order, so that
drift hits both alike. Prints a ratio for each case and implementation; exit 1 where one is
further than 2% from 1.
"""

import ctypes
import random
import sys
from collections.abc import Iterator
from itertools import cycle
from statistics import median

from torch.utils.benchmark import Timer as TorchTimer

from attnbench.bench.agreement.oracle import Oracle
from attnbench.bench.registry.catalogue import find
from attnbench.bench.timing.timer import Timer
from attnbench.bench.units import show
from attnbench.impls.contract import Case, parse_case

CASES = (
    "b1-h4-s64-d64-causal-fp32",
    "b1-h8-kv2-s128-d64-causal-fp32",
    "b1-h32-kv8-q1-k1024-d128-causal-bf16",
    "b1-h12-s256-d64-full-fp32",
    "b1-h32-kv8-s256-d128-causal-bf16",
    "b1-h12-s512-d64-full-fp32",
    "b1-h20-s1024-d64-full-fp32",
)
IMPLEMENTATIONS = ("masked_fill", "sdpa_flash", "sdpa_math")
MOST_ROUNDS, FEWEST_ROUNDS = 101, 31
CELL_NS = 5e9
"""A cell gets as many rounds as fit into this, between those two."""

CLOSE = 0.02
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
TRIM_NEVER = 2**31 - 1
"""Parameters of ``mallopt`` (malloc.h)."""


def ratio(case: Case, name: str) -> tuple[float, float]:
    """Our median in nanoseconds, and how many times torch's that is; rounds of one sample each, in turn."""
    order = random.Random(0)
    with Timer(find(name), case, Oracle(), seed=0) as timer:
        pace_ns = timer.warm_up()
        turns = cycle([timer.timed_call(0), timer.timed_call(1)])
        theirs = TorchTimer("next(turns)()", globals={"turns": turns}, num_threads=_threads())
        samples: dict[str, list[float]] = {"ours": [], "theirs": []}
        for _ in range(_rounds(timer.calls * pace_ns)):
            for whose in order.sample(list(samples), k=2):
                found = timer.sample_ns() if whose == "ours" else theirs.timeit(timer.calls).mean * 1e9
                samples[whose].append(found)
        return median(samples["ours"]), median(samples["ours"]) / median(samples["theirs"])


def _rounds(sample_ns: float) -> int:
    """An odd number of rounds; a round is about six samples long, since torch's timer calls twice before its own."""
    return min(MOST_ROUNDS, max(FEWEST_ROUNDS, int(CELL_NS / (6 * sample_ns)))) | 1


def _threads() -> int:
    import torch

    return torch.get_num_threads()


def rows() -> Iterator[tuple[str, str, float, float]]:
    """Case, implementation, our median and the ratio, for every cell."""
    for case in CASES:
        for name in IMPLEMENTATIONS:
            yield case, name, *ratio(parse_case(case), name)


def steady_heap() -> None:
    """Keep glibc from giving memory back between calls, where it is glibc.

    Whether a call of some megabytes gets fresh pages flips with what else lies at the heap's end, and
    doubles its time: a question of the allocator, which both timers would be asked at different moments.
    """
    if hasattr(library := ctypes.CDLL(None), "mallopt"):
        library.mallopt(M_MMAP_MAX, 0)
        library.mallopt(M_TRIM_THRESHOLD, TRIM_NEVER)


def main() -> int:
    """Print the table; the number of cells that are further off than 2% decides the exit code."""
    steady_heap()
    off, times_ns = 0, []
    print(f"{'case':42} {'implementation':16} {'ours':>9} {'ours / torch':>12}")
    for case, name, ours_ns, share in rows():
        off += abs(share - 1) > CLOSE
        times_ns.append(ours_ns)
        mark = "" if abs(share - 1) <= CLOSE else "  off"
        print(f"{case:42} {name:16} {show(ours_ns, 'time'):>9} {share:12.4f}{mark}", flush=True)
    print(
        f"{len(times_ns) - off} of {len(times_ns)} cells within {CLOSE:.0%} of torch.utils.benchmark, "
        f"from {show(min(times_ns), 'time')} to {show(max(times_ns), 'time')}"
    )
    return int(off > 0)


if __name__ == "__main__":
    sys.exit(main())
