"""What is kept of a run. Frozen, typed, printable; medians and intervals are derived, never stored.

Format history (``SCHEMA``; readers refuse a newer one and say so):

1. One header line, then one line a record. A later record of the same case and
   implementation stands for the earlier one (it holds its samples too).
2. Names: `hard` and `soft` of the environment became `must_match` and `informational`,
   `inside` of a measurement `timed_region`. :mod:`attnbench.bench.records.schema_1` reads 1.
"""

import math
from collections.abc import Iterable
from enum import StrEnum
from statistics import median
from typing import Any, Literal

import msgspec

from attnbench.impls.contract import Case, Cost, cost

SCHEMA = 2

Real = float | Literal["nan", "inf", "-inf"]
"""A number as JSON keeps it: what is not finite is written as a word."""


def real(value: float) -> Real:
    """`value` as it is stored."""
    return value if math.isfinite(value) else str(float(value))  # type: ignore[return-value]  # one of the three words


class Status(StrEnum):
    """How a record ended; the set is closed. Groups of statuses are properties."""

    PASSED = "PASSED"
    """Every comparison is within its budget and every required check passed; it is timed unless that was not asked."""

    WRONG = "WRONG"
    """An output, a gradient or a required check failed, at the check or after timing, or the time can't be true."""

    UNSUPPORTED = "UNSUPPORTED"
    """The implementation declares that it can't do this case, or its backend refused it; nothing was compared."""

    UNAVAILABLE = "UNAVAILABLE"
    """A package that the implementation needs is missing here, or does not import."""

    ERROR = "ERROR"
    """The implementation raised an exception, or called exit."""

    CRASHED = "CRASHED"
    """The process ended by itself: a segmentation fault, an abort, a signal."""

    TIMEOUT = "TIMEOUT"
    """A step of the case took longer than its limit, and the process was killed."""

    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    """The device or the host had no memory left for the case."""

    @property
    def is_refusal(self) -> bool:
        """Whether the implementation can't do the case, or can't run here; no result, and no fault."""
        return self in (Status.UNSUPPORTED, Status.UNAVAILABLE)

    @property
    def is_failure(self) -> bool:
        """Whether the implementation is at fault: a wrong result, or none where there should be one."""
        return self is not Status.PASSED and not self.is_refusal

    @property
    def needs_fresh_process(self) -> bool:
        """Whether the next case gets a new process: a CUDA context may be dead, memory may be held."""
        return self in (Status.ERROR, Status.OUT_OF_MEMORY)


class Kept(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of everything that is kept."""


class Comparison(Kept, frozen=True, kw_only=True):
    """One output of one input family against the float64 reference.

    `max_error` is the largest absolute error and `l2_error` the relative L2 norm
    of the error; each must stay within its budget. `worst_index` points into the
    output, ``(b, h, i, d)``; `judged` counts the elements that were compared and
    `outside` those over the elementwise budget.
    """

    output: str
    family: str
    max_error: Real
    max_budget: float
    l2_error: Real
    l2_budget: float
    worst_index: tuple[int, ...]
    expected: Real
    got: Real
    finite: bool
    judged: int
    outside: int
    hint: str = ""

    @property
    def ok(self) -> bool:
        """Whether the output is finite where it must be and within both budgets."""
        return self.finite and float(self.max_error) <= self.max_budget and float(self.l2_error) <= self.l2_budget

    @property
    def share_of_budget(self) -> float:
        """The larger of error/budget; above 1 is wrong."""
        if not self.finite:
            return math.inf
        pairs = ((self.max_error, self.max_budget), (self.l2_error, self.l2_budget))
        return max(
            float(error) / budget if budget else (0.0 if not float(error) else math.inf) for error, budget in pairs
        )


class Check(Kept, frozen=True, kw_only=True):
    """One property or side effect that was tried; only a required one can make a record wrong."""

    name: str
    ok: bool
    required: bool = True
    detail: str = ""


class KnownLimit(Kept, frozen=True, kw_only=True):
    """A family on which the implementation is declared to fail, and what was seen of it."""

    family: str
    reason: str
    seen: bool


class Agreement(Kept, frozen=True, kw_only=True):
    """Is it right: every comparison, every check, and the declared limits that were seen."""

    comparisons: tuple[Comparison, ...]
    checks: tuple[Check, ...] = ()
    known_limits: tuple[KnownLimit, ...] = ()
    conventions: dict[str, str] = {}

    @property
    def ok(self) -> bool:
        """Whether nothing required failed outside a declared limit."""
        return not self.failures and not self.failed_checks

    @property
    def failures(self) -> tuple[Comparison, ...]:
        """Comparisons that failed where no limit is declared, worst first."""
        limited = {limit.family for limit in self.known_limits}
        failed = [c for c in self.comparisons if not c.ok and c.family not in limited]
        return tuple(sorted(failed, key=lambda c: -c.share_of_budget))

    @property
    def failed_checks(self) -> tuple[Check, ...]:
        """Required checks that failed."""
        return tuple(check for check in self.checks if check.required and not check.ok)

    @property
    def families(self) -> tuple[str, ...]:
        """Input families that were run, in order."""
        return tuple(dict.fromkeys(c.family for c in self.comparisons))

    @property
    def worst(self) -> Comparison | None:
        """The comparison nearest to its budget or furthest beyond, declared limits apart."""
        limited = {limit.family for limit in self.known_limits}
        counted = [c for c in self.comparisons if c.family not in limited]
        return max(counted, key=lambda c: c.share_of_budget, default=None)


class Measurement(Kept, frozen=True, kw_only=True):
    """How fast: raw samples in the order they were taken, each the mean time of `calls` calls.

    `stopped` says what ended the sampling: ``interval`` (narrow enough),
    ``budget`` (time ran out) or ``count``. `timed_region` says what was
    inside of it. `threads` is 0 where the device is no CPU. `host_ns` is the time in which
    the call returns to the host, where that is not the time of the call itself;
    `pinned` is the CPU of each thread, where each was kept on one of its own;
    `saved_bytes` is what the forward keeps for the backward; `energy_j` is that of
    one call, where the device counts it.
    """

    samples_ns: tuple[float, ...]
    calls: int
    warmup_ns: tuple[float, ...] = ()
    first_call_ns: float | None = None
    host_ns: float | None = None
    saved_bytes: int | None = None
    energy_j: float | None = None
    clock: str
    cache: str
    timed_region: str = "call"
    threads: int = 0
    pinned: tuple[int, ...] = ()
    peak_bytes: int | None = None
    stopped: str = "count"

    @property
    def median_ns(self) -> float:
        """Median time of one call."""
        return median(self.samples_ns)

    @property
    def interval_ns(self) -> tuple[float, float]:
        """Distribution-free 95% interval of the median, from order statistics."""
        return median_interval(self.samples_ns)


class Conditions(Kept, frozen=True, kw_only=True):
    """The machine before and after a case was timed, and what disturbed it ('' where nothing did)."""

    before: dict[str, float]
    after: dict[str, float]
    disturbance: str = ""


class Environment(Kept, frozen=True, kw_only=True):
    """The machine that made a run.

    `must_match` decides whether two runs may be compared at all; `informational` is shown
    beside them. `fingerprint` is derived from `must_match`.
    """

    device: str
    device_name: str
    must_match: dict[str, str]
    informational: dict[str, str] = {}
    commit: str = ""
    dirty: bool = False

    @property
    def fingerprint(self) -> str:
        """Twelve hex digits of the fields that must match."""
        from hashlib import sha256

        return sha256(msgspec.json.encode(self.must_match, order="sorted")).hexdigest()[:12]


class Peaks(Kept, frozen=True, kw_only=True):
    """FLOP/s by dtype and bytes/s of one device; `source` says who measured or published them."""

    device: str
    flops_per_s: dict[str, float]
    bytes_per_s: float
    source: str


class Record(Kept, frozen=True, kw_only=True):
    """What became of one case with one implementation; raises ValueError where the fields don't fit the status.

    `traceback` lists the lines of the implementation's own files where an error arose, outermost first.
    """

    case: Case
    implementation: str
    status: Status
    reason: str = ""
    seed: int = 0
    agreement: Agreement | None = None
    measurement: Measurement | None = None
    conditions: Conditions | None = None
    notes: tuple[str, ...] = ()
    traceback: tuple[str, ...] = ()
    wall_s: float = 0.0

    def __post_init__(self) -> None:
        if problem := self._problem():
            raise ValueError(f"{self.implementation} on {self.case.id}: {problem}")

    def _problem(self) -> str | None:
        if self.status is Status.PASSED:
            if self.agreement is None or not self.agreement.ok:
                return "PASSED needs an agreement that is ok"
            return None
        if not self.reason:
            return f"{self.status} needs a reason"
        if self.measurement is not None:
            return f"{self.status} can't have a measurement"
        if self.status.is_refusal and self.agreement is not None:
            return f"{self.status} can't have an agreement"
        return None

    @property
    def key(self) -> tuple[str, str]:
        """What identifies a record within a run."""
        return self.case.id, self.implementation

    @property
    def cost(self) -> Cost:
        """What the case costs at least."""
        return cost(self.case)


class Header(Kept, frozen=True, kw_only=True, omit_defaults=False):
    """The first line of a run's file: what was to be done, where and by what.

    `features` holds for each implementation and feature the reason why it can't, '' where it can.
    """

    schema: int = msgspec.field(default=SCHEMA)
    created: str
    sweep: str
    cases: tuple[str, ...]
    implementations: tuple[str, ...]
    seed: int
    environment: Environment
    command: str = ""
    peaks: Peaks | None = None
    features: dict[str, dict[str, str]] = {}


class Run(Kept, frozen=True, kw_only=True):
    """A header, its records, and the lines that could not be read."""

    header: Header
    records: tuple[Record, ...]
    damaged: tuple[str, ...] = ()
    path: str = ""

    @property
    def missing(self) -> tuple[tuple[str, str], ...]:
        """Keys that were to be done and have no record."""
        done = {record.key for record in self.records}
        wanted = ((case, name) for case in self.header.cases for name in self.header.implementations)
        return tuple(key for key in wanted if key not in done)


def median_interval(samples: Iterable[float], confidence: float = 0.95) -> tuple[float, float]:
    """Distribution-free interval of the median from order statistics; the whole range for few samples.

    Source: Conover, Practical Nonparametric Statistics, section 3.2: the rank of
    the lower bound is the largest whose binomial(n, 1/2) tail stays within alpha/2.
    """
    ordered = sorted(samples)
    count = len(ordered)
    # Ranks further below the middle than five roots have a tail of less than 1e-22 between them.
    rank = max(0, int(count / 2 - 5 * math.sqrt(count)))
    tail = _coins(count, rank)
    while rank < (count - 1) // 2 and tail + _coins(count, rank + 1) <= (1 - confidence) / 2:
        rank += 1
        tail += _coins(count, rank)
    # The interval reaches from the observation of this rank to the one of this rank from the other end.
    return ordered[rank], ordered[count - 1 - rank]


def _coins(count: int, heads: int) -> float:
    """Probability of exactly `heads` heads in `count` fair coin tosses, computed in logarithms against overflow."""
    ways = math.lgamma(count + 1) - math.lgamma(heads + 1) - math.lgamma(count - heads + 1)
    return math.exp(ways - count * math.log(2))


def as_json(value: Any) -> bytes:
    """One line of JSON."""
    return msgspec.json.encode(value)
