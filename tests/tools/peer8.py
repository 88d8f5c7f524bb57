"""``python -m tests.tools.peer8``: how long the eight cells of ``--sweep peer8`` take as whole processes.

Agreement, 1% intervals, store and report included. Prints each run's wall time and what it was
spent on, then the medians; exit 1 where the median is over the bound. Means something on a quiet machine only.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

BOUND_S = 5.0
RUNS = 5
COMMAND = (
    *(sys.executable, "-m", "bench", "run", "--sweep", "peer8"),
    *("--impl", "masked_fill", "--impl", "sdpa_flash", "--out"),
)
PHASE = re.compile(r"([a-z][a-z -]*) (-?[\d.]+) s\b")


def whole_run() -> tuple[float, str]:
    """Wall seconds of one run, from before its process starts until it has ended, and its own account of them."""
    with TemporaryDirectory(prefix="attnbench-peer8-") as folder:
        start = perf_counter()
        done = subprocess.run([*COMMAND, str(Path(folder) / "run")], capture_output=True, text=True, check=False)
        wall_s = perf_counter() - start
    if done.returncode != 0:
        raise SystemExit(f"the run ended with exit {done.returncode}:\n{done.stderr}")
    (account,) = (line for line in done.stderr.splitlines() if "outside inputs, checks and timed calls" in line)
    return wall_s, account


def phases(account: str) -> dict[str, float]:
    """Seconds by phase, from the line that a run prints."""
    return {name: float(seconds) for name, seconds in PHASE.findall(account.partition(":")[2])}


def main() -> int:
    """Print the runs and the medians; 1 where the bound is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.tools.peer8", description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS)
    walls_s, accounts = [], []
    for number in range(1, parser.parse_args().runs + 1):
        wall_s, account = whole_run()
        walls_s.append(wall_s)
        accounts.append(phases(account))
        print(f"run {number}: {wall_s:.2f} s wall; its own account: {account}", flush=True)
    spent = ", ".join(f"{name} {median(one[name] for one in accounts):.1f} s" for name in accounts[0])
    print(f"medians: {spent}")
    middle_s = median(walls_s)
    within = middle_s <= BOUND_S
    print(
        f"median of {len(walls_s)}: {middle_s:.2f} s, {'within' if within else 'over'} the bound of {BOUND_S:g} s"
    )
    return int(not within)


if __name__ == "__main__":
    sys.exit(main())
