"""Did the machine code get worse? Facts against a baseline, by rules whose thresholds stand here.

Each rule comes from a regression that such numbers caught or would have caught (docs/codegen.md).
Stack size is no rule: a spill costs time where it is repeated, in the main loop.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from attnbench.bench.codegen.facts import Facts

RATIO_WARNS = 1.05
RATIO_FAILS = 1.10
"""Non-MMA instructions per 2048 multiply-adds, relative to the baseline."""
SPILLS_FAIL = 1.10
"""Spills in the main loop relative to a baseline that has some; from none, one is too many."""
FFMA_FAILS = 0.5
"""Fused multiply-adds left in the main loop."""
EXPOSURE_FAILS = 0.1
"""Added to the exposed share."""


class Level(StrEnum):
    """How bad a finding is; only FAIL fails the gate."""

    FAIL = "FAIL"
    WARN = "WARN"
    NOTE = "NOTE"


@dataclass(frozen=True)
class Finding:
    """One metric of one configuration that changed; `loop` says how the main loop differs, by opcode."""

    level: Level
    config: str
    metric: str
    before: str
    after: str
    what: str
    loop: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.level} {self.config}: {self.metric} {self.before} -> {self.after} ({self.what})"


def judge(baseline: Sequence[Facts], now: Sequence[Facts]) -> tuple[Finding, ...]:
    """Findings of all configurations in `now`, worst first; what only `baseline` has is left out."""
    before = {facts.id: facts for facts in baseline}
    after = {facts.id: facts for facts in now}
    findings = [finding for name, facts in after.items() for finding in compare(before.get(name), facts)]
    order = list(Level)
    return tuple(sorted(findings, key=lambda finding: order.index(finding.level)))


def missing(baseline: Iterable[Facts], now: Iterable[Facts]) -> tuple[Finding, ...]:
    """Configurations of the baseline that `now` lacks; called only where all configurations were compiled."""
    there = {facts.id for facts in now}
    return tuple(
        Finding(Level.FAIL, facts.id, "configuration", "present", "gone", "a configuration vanished")
        for facts in baseline
        if facts.id not in there
    )


def compare(before: Facts | None, after: Facts) -> tuple[Finding, ...]:
    """Findings of one configuration; without a baseline only what is wrong in itself."""
    findings = list(_absolute(after))
    if before is None:
        findings.append(_finding(Level.NOTE, after, "configuration", "none", "new", "no baseline for it yet"))
    elif not before.failure and not after.failure:
        difference = loop_difference(before, after)
        for rule in RULES:
            findings += [
                Finding(f.level, f.config, f.metric, f.before, f.after, f.what, difference)
                for f in rule(before, after)
            ]
    return tuple(findings)


def loop_difference(before: Facts, after: Facts) -> tuple[str, ...]:
    """How the main loops differ, by opcode, the largest change first: ``STL 0 -> 46``."""
    old, new = _opcodes(before), _opcodes(after)
    changed = [(opcode, old.get(opcode, 0), new.get(opcode, 0)) for opcode in sorted({*old, *new})]
    changed = [change for change in changed if change[1] != change[2]]
    return tuple(f"{name} {was} -> {now}" for name, was, now in sorted(changed, key=lambda c: -abs(c[2] - c[1])))


def _opcodes(facts: Facts) -> dict[str, int]:
    total: dict[str, int] = {}
    for loop in facts.loops:
        for opcode, count in loop.opcodes.items():
            total[opcode] = total.get(opcode, 0) + count
    return total


def _finding(level: Level, facts: Facts, metric: str, before: object, after: object, what: str) -> Finding:
    return Finding(level, facts.id, metric, str(before), str(after), what)


def _absolute(now: Facts) -> Iterator[Finding]:
    """What is wrong whatever was before."""
    if now.failure:
        yield _finding(Level.FAIL, now, "compilation", "", "failed", now.failure)
    elif now.shared_bytes > now.shared_limit:
        said = f"{now.target} gives a CTA at most {now.shared_limit}: the configuration can't be launched"
        yield _finding(Level.FAIL, now, "shared memory", "", f"{now.shared_bytes} bytes", said)


def _tensor(before: Facts, now: Facts) -> Iterator[Finding]:
    if before.tensor_class != now.tensor_class:
        said = "tensor instructions are gone" if not now.tensor_class else "another class of tensor instructions"
        yield _finding(
            Level.FAIL, now, "tensor class", before.tensor_class or "none", now.tensor_class or "none", said
        )


def _occupancy(before: Facts, now: Facts) -> Iterator[Finding]:
    if now.ctas_per_sm < before.ctas_per_sm:
        said = f"limited by {now.limit}: {now.registers} registers, {now.shared_bytes} bytes of shared memory"
        yield _finding(Level.FAIL, now, "CTAs per SM", before.ctas_per_sm, now.ctas_per_sm, said)


def _spills(before: Facts, now: Facts) -> Iterator[Finding]:
    allowed = before.spills_in_loop * SPILLS_FAIL
    if now.spills_in_loop > allowed:
        said = "registers go to local memory in every iteration"
        yield _finding(Level.FAIL, now, "spills in the loop", before.spills_in_loop, now.spills_in_loop, said)


def _ratio(before: Facts, now: Facts) -> Iterator[Finding]:
    for metric, was, became in (
        ("ratio", before.ratio, now.ratio),
        ("ratio of all partitions", before.ratio_all, now.ratio_all),
    ):
        if was and became and became > was * RATIO_WARNS:
            level = Level.FAIL if became > was * RATIO_FAILS else Level.WARN
            said = f"{became / was - 1:+.1%} non-MMA instructions per 2048 multiply-adds"
            yield _finding(level, now, metric, f"{was:.2f}", f"{became:.2f}", said)
        if len(now.loops) == 1 and len(before.loops) == 1:
            return


def _ffma(before: Facts, now: Facts) -> Iterator[Finding]:
    was, became = before.total("ffma"), now.total("ffma")
    if became < was * FFMA_FAILS:
        said = "multiplies and adds are no longer fused: is fp fusion off?"
        yield _finding(Level.FAIL, now, "FFMA in the loop", was, became, said)


def _exposure(before: Facts, now: Facts) -> Iterator[Finding]:
    if now.serialised and not before.serialised:
        said = "ptxas waits for each wgmma before the next: nothing overlaps"
        yield _finding(Level.FAIL, now, "wgmma", "in flight together", "serialised", said)
    if before.exposed is not None and now.exposed is not None and now.exposed >= before.exposed + EXPOSURE_FAILS:
        said = "less of the softmax runs while a wgmma is in flight"
        yield _finding(Level.FAIL, now, "exposed softmax", f"{before.exposed:.2f}", f"{now.exposed:.2f}", said)


def _waits(before: Facts, now: Facts) -> Iterator[Finding]:
    """Per multiply-add: an iteration over a larger tile may wait more often than one over a smaller tile."""
    for metric, count in (("waits in the loop", "waits"), ("barriers in the loop", "barriers")):
        was, became = before.total(count), now.total(count)
        scale = now.macs / before.macs if now.macs and before.macs else 1.0
        if became > was * scale:
            yield _finding(Level.FAIL, now, metric, was, became, "warps stop more often in every iteration")


def _copies(before: Facts, now: Facts) -> Iterator[Finding]:
    if before.total("async_copies") and not now.total("async_copies"):
        said = "tiles are no longer copied while others are computed"
        yield _finding(Level.FAIL, now, "asynchronous copies", before.total("async_copies"), 0, said)


def _advised(before: Facts, now: Facts) -> Iterator[Finding]:
    for advisory in now.advisories:
        number, _, said = advisory.partition(" ")
        if not any(known.startswith(number) for known in before.advisories):
            yield _finding(Level.WARN, now, "ptxas advisory", "none", number, said)


RULES: tuple[Callable[[Facts, Facts], Iterator[Finding]], ...] = (
    _tensor,
    _occupancy,
    _spills,
    _ratio,
    _ffma,
    _exposure,
    _waits,
    _copies,
    _advised,
)
