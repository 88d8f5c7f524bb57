"""The gate's rule, from trials to verdicts. Pure functions, no torch; docs/gate.md has the error rates.

A *trial* is the unit of replication: two fresh processes, one for each side, give one
log-ratio, above 0 where the candidate is slower. Each process has a bias of its own
(a standard deviation of about 0.8%), so more calls within it don't replace another process.

One case: call `decide` after each trial until it returns a decision, `estimate` if the time ends first.
A sweep: six trials of each case, `confirm` with fresh trials for those that are
`flagged`, `decide` for the others; `alarmed` and `shifted_together` over all cases.
"""

from attnbench.bench.gate.stats.aa_control import alarmed, shifted_together
from attnbench.bench.gate.stats.bounds import RULE, Rule
from attnbench.bench.gate.stats.confirmation import CONFIRMING, confirm
from attnbench.bench.gate.stats.decision import Decision, decide, estimate, flagged
from attnbench.bench.gate.stats.sign_test import holm, sign_flip_p

__all__ = [
    "CONFIRMING",
    "RULE",
    "Decision",
    "Rule",
    "alarmed",
    "confirm",
    "decide",
    "estimate",
    "flagged",
    "holm",
    "shifted_together",
    "sign_flip_p",
]
