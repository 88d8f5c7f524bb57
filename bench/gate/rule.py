"""The gate's rule, whole: from launches to verdicts. Pure functions, no torch; docs/gate.md has what is proved.

A *launch* is the unit of replication: two fresh processes, one a side, give one
log-ratio, above 0 where the candidate is slower. A process has a bias of its own
(about 0.8% SD), so that calls within it say nothing of the next process.

One case: `decide` after each launch until it answers, `estimate` when time runs out first.
A sweep: six launches of each case, `confirm` with fresh ones for those that are
`flagged`, `decide` for the others; `alarmed` and `shifted_together` over all.
"""

from attnbench.bench.gate.bounds import RULE, Rule
from attnbench.bench.gate.confirmation import CONFIRMING, confirm
from attnbench.bench.gate.decision import Decision, decide, estimate, flagged
from attnbench.bench.gate.sentinel import alarmed, shifted_together
from attnbench.bench.gate.signs import holm, sign_flip_p

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
