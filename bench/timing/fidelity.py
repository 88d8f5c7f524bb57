"""``python -m bench.timing.fidelity``: our medians beside those of ``torch.utils.benchmark``.

Both time the same calls in one process, taking turns, so that drift hits both
alike. Prints a ratio for each case and implementation; exit 1 where one is
further than 2% from 1.
"""

import sys
from collections.abc import Iterator
from itertools import cycle
from statistics import median

from torch.utils.benchmark import Timer as TorchTimer

from bench.agreement.oracle import Oracle
from bench.timing.timer import Timer
from impls.contract import Case, parse_case
from impls.registry import find
from reports.units import show

CASES = (
    "b1-h4-s64-d64-causal-fp32",
    "b1-h8-kv2-s128-d64-causal-fp32",
    "b1-h32-kv8-q1-k1024-d128-causal-bf16",
    "b1-h12-s256-d64-full-fp32",
    "b1-h32-kv8-s256-d128-causal-bf16",
    "b1-h12-s512-d64-full-fp32",
)
IMPLEMENTATIONS = ("masked_fill", "sdpa_flash", "sdpa_math")
ROUNDS = 101
CLOSE = 0.02


def ratio(case: Case, name: str) -> tuple[float, float]:
    """Our median in nanoseconds, and how many times torch's that is; rounds of one sample each, in turn."""
    with Timer(find(name), case, Oracle(), seed=0) as timer:
        timer.warm_up()
        turns = cycle([timer.timed_call(0), timer.timed_call(1)])
        theirs = TorchTimer("next(turns)()", globals={"turns": turns}, num_threads=_threads())
        ours_ns, theirs_ns = [], []
        for turn in range(ROUNDS):
            for ours in (True, False) if turn % 2 else (False, True):
                if ours:
                    ours_ns.append(timer.sample_ns())
                else:
                    theirs_ns.append(theirs.timeit(timer.calls).mean * 1e9)
    return median(ours_ns), median(ours_ns) / median(theirs_ns)


def _threads() -> int:
    import torch

    return torch.get_num_threads()


def rows() -> Iterator[tuple[str, str, float, float]]:
    """Case, implementation, our median and the ratio, for every cell."""
    for case in CASES:
        for name in IMPLEMENTATIONS:
            yield case, name, *ratio(parse_case(case), name)


def main() -> int:
    """Print the table; the number of cells that are further off than 2% decides the exit code."""
    off = 0
    print(f"{'case':42} {'implementation':16} {'ours':>9} {'ours / torch':>12}")
    for case, name, ours_ns, share in rows():
        off += abs(share - 1) > CLOSE
        mark = "" if abs(share - 1) <= CLOSE else "  off"
        print(f"{case:42} {name:16} {show(ours_ns, 'time'):>9} {share:12.4f}{mark}", flush=True)
    total = len(CASES) * len(IMPLEMENTATIONS)
    print(f"{total - off} of {total} cells within {CLOSE:.0%} of torch.utils.benchmark")
    return int(off > 0)


if __name__ == "__main__":
    sys.exit(main())
