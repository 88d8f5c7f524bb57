"""The gate's rule, whole: from trials to verdicts. Pure functions, no torch; docs/gate.md has what is proved.

A *trial* is the unit of replication: two fresh processes, one a side, give one
log-ratio, above 0 where the candidate is slower. A process has a bias of its own
(about 0.8% SD), so that calls within it say nothing of the next process.

One case: `decide` after each trial until it answers, `estimate` when time runs out first.
A sweep: six trials of each case, `confirm` with fresh ones for those that are
`flagged`, `decide` for the others; `alarmed` and `shifted_together` over all.
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
