"""A sweep is planned in a moment: cases and costs are cheap, and need no torch."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_hundred_thousand_cases_with_costs_and_no_torch():
    # CPU time, which other processes hardly change: 2 to 3 s; a count that is quadratic in the lengths takes far longer.
    script = Path(__file__).with_name("build_cases.py")
    done = subprocess.run(
        [sys.executable, script],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    count, cpu_seconds = done.stdout.split()
    assert int(count) == 100_000
    assert float(cpu_seconds) < 20
