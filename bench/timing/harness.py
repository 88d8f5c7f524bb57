"""Which harness measured: a hash of the code that decides what is timed, how, and against which budget. No torch."""

from hashlib import sha256
from pathlib import Path

MEASURING = (
    "timing/clocks.py",
    "timing/device.py",
    "timing/graphs.py",
    "timing/pinning.py",
    "timing/cpu_probe.py",
    "workers/process.py",
    "timing/replay.py",
    "timing/rounds.py",
    "workers/setting.py",
    "timing/timer.py",
    "workers/server.py",
    "agreement/error_bands.py",
    "agreement/compare.py",
    "agreement/families.py",
    "agreement/judging_device.py",
    "agreement/inputs.py",
    "agreement/oracle.py",
    "agreement/relaxed.py",
    "agreement/rounding.py",
    "agreement/rows.py",
    "agreement/low_precision_reference.py",
    "case_run.py",
)
"""Files under ``bench/`` whose change makes times or errors incomparable; what only tells them is not among these."""


def harness(root: Path = Path(__file__).parents[1]) -> str:
    """Twelve hex digits of the sources of :data:`MEASURING`, whatever their line ends."""
    digest = sha256()
    for name in MEASURING:
        source = (root / name).read_bytes().replace(b"\r\n", b"\n")
        digest.update(f"{name} {len(source)}\n".encode() + source)
    return digest.hexdigest()[:12]
