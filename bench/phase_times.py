"""How the wall time of a run divides into phases, which don't overlap and so add up."""

import time
from dataclasses import dataclass

import psutil


@dataclass
class PhaseTimes:
    """Seconds by phase.

    `expecting_s` is that of the float64 reference, `inputs_s` of making inputs and preparing calls,
    `timed_s` of timed calls (warm-ups and samples, also of rounds that were repeated),
    `between_s` of everything between samples: pauses, untimed calls, requests to workers.
    """

    expecting_s: float = 0.0
    checking_s: float = 0.0
    inputs_s: float = 0.0
    timed_s: float = 0.0
    between_s: float = 0.0
    reporting_s: float = 0.0

    def summary_line(self, wall_s: float) -> str:
        """One line: the phases, the rest of `wall_s`, and the share of everything but inputs, checks and timed calls."""
        phases = {
            "oracle": self.expecting_s,
            "checks": self.checking_s,
            "inputs": self.inputs_s,
            "timed calls": self.timed_s,
            "between them": self.between_s,
            "report": self.reporting_s,
        }
        phases["start-up and the rest"] = wall_s - sum(phases.values())
        purposes = self.expecting_s + self.checking_s + self.inputs_s + self.timed_s
        listed = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in phases.items())
        return f"{wall_s:.1f} s: {listed}; {1 - purposes / wall_s:.0%} outside inputs, checks and timed calls"


def since_start_s() -> float:
    """Seconds since this process was started, the interpreter's own start included."""
    return time.time() - psutil.Process().create_time()
