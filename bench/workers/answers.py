"""The answers of a worker. No torch."""

from dataclasses import dataclass

from attnbench.bench.records.schema import Agreement, Comparison


@dataclass(frozen=True)
class Description:
    """What ``list`` shows of an implementation."""

    name: str
    summary: str
    devices: tuple[str, ...]
    features: frozenset[str]
    dtypes: tuple[str, ...]
    unavailable: str | None
    version: str
    known_limits: dict[str, str]


@dataclass(frozen=True)
class Unusable:
    """A name or a device that can't be used, with the message for the user."""

    message: str


@dataclass(frozen=True)
class CheckAnswer:
    """Agreement of one case, the time of its first call, notes for the record, whether to time it."""

    agreement: Agreement
    first_call_ns: float
    notes: tuple[str, ...] = ()
    timed: bool = True


@dataclass(frozen=True)
class Unnoticed:
    """A wrong answer that a case would pass: the output, in what way it is wrong, how near it came to its budget."""

    output: str
    answer: str
    share_of_budget: float


@dataclass(frozen=True)
class OpenAnswer:
    """A case is ready to be sampled; `warming_s` went into the warm-ups."""

    pace_ns: float
    warming_s: float
    calls: int
    warmup_ns: tuple[float, ...]
    clock: str
    cache: str
    threads: int
    pinned: tuple[int, ...]
    note: str


@dataclass(frozen=True)
class CloseAnswer:
    """The check after timing, and the memory of one call."""

    verified: Comparison
    peak_bytes: int | None
    saved_bytes: int | None
    host_ns: float | None
    energy_j: float | None
