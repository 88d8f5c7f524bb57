"""Check what an implementation claims: cases made from its declared features, run as any others are."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import zip_longest

from attnbench.bench.agreement.families import FAMILIES
from attnbench.bench.case_run import Settings
from attnbench.bench.records.schema import Record
from attnbench.bench.registry.triton_files import interpreter_variables
from attnbench.bench.run import run_case
from attnbench.bench.sweeps.declared import INTERPRETED_SCORES, LIGHT_SCORES
from attnbench.bench.sweeps.plan import Ask, Plan
from attnbench.bench.workers.answers import Description
from attnbench.bench.workers.process import Pool
from attnbench.impls.contract import Case, parse_case


@dataclass
class Claimed:
    """What one implementation claims, and what became of each case that was made of it."""

    one: Description
    plan: Plan
    records: list[Record] = field(default_factory=list)

    def refusal(self, name: str) -> str:
        """What the implementation said beforehand to a case with this feature or dtype; '' where nothing."""
        for case_id, reason in self.plan.refused.items():
            case = parse_case(case_id)
            if name in case.features or name == case.dtype:
                return reason
        return self.one.unavailable or ""


def plan_of(one: Description, pool: Pool, seed: int, depth: str | None = None) -> Plan:
    """The plan for what `one` declares; its refusals are asked of the reference's worker.

    Without a `depth`, standard; quick, and with smaller cases, where Triton's interpreter runs it.
    """
    interpreted = bool(interpreter_variables(one.name, pool.device))
    return Plan(
        features=one.features,
        dtypes=one.dtypes,
        refusals=lambda cases: pool.oracle.refusals(one.name, tuple(cases)),
        seed=seed,
        depth=depth or ("quick" if interpreted else "standard"),
        most_scores=INTERPRETED_SCORES if interpreted else LIGHT_SCORES,
    )


def check_claimed(
    claimed: Claimed, pool: Pool, settings: Settings, keep: Callable[[Record], None]
) -> Iterator[Record]:
    """The records of every case of the plan; what is refused alone is not asked together with the rest.

    An implementation that isn't there gives one record that says so. Families and properties that `settings`
    choose are run on every case; without a choice, each case runs those that the plan gives it. While one case
    is checked, the reference of the next is computed.
    """
    first = claimed.plan.alone()
    yield from _checked(claimed, first[:1] if claimed.one.unavailable else first, pool, settings, keep)
    if not claimed.one.unavailable:
        refused = {record.case.id for record in claimed.records if record.status.is_refusal}
        yield from _checked(claimed, claimed.plan.together(refused), pool, settings, keep)


def _checked(
    claimed: Claimed, asks: Sequence[Ask], pool: Pool, settings: Settings, keep: Callable[[Record], None]
) -> Iterator[Record]:
    done = {record.case.id for record in claimed.records}
    left = [(ask.case, _settings_for(ask, settings)) for ask in asks if ask.case.id not in done]
    with ThreadPoolExecutor(max_workers=1) as thread:
        ahead = _Ahead(pool, thread)
        for (case, here), following in zip_longest(left, left[1:]):
            ahead.finish()
            for record in run_case(case, [claimed.one.name], pool, here, meanwhile=partial(ahead.begin, following)):
                keep(record)
                claimed.records.append(record)
                yield record


class _Ahead:
    """Has the reference of the next case computed in a thread; one at a time, since a worker answers in turn."""

    def __init__(self, pool: Pool, thread: ThreadPoolExecutor) -> None:
        self.pool, self.thread = pool, thread
        self._pending: Future[None] | None = None

    def begin(self, following: tuple[Case, Settings] | None) -> None:
        if following is not None:
            case, settings = following
            self._pending = self.thread.submit(self.pool.oracle.expect, case, settings.seed, settings.families)

    def finish(self) -> None:
        """Wait for it; what went wrong there goes wrong again when the case is run, and is told then."""
        if self._pending is not None:
            wait([self._pending])
            self._pending = None


def _settings_for(ask: Ask, settings: Settings) -> Settings:
    families = settings.families or ask.families or tuple(FAMILIES)
    return replace(settings, families=families, thorough=ask.thorough or settings.properties is not None)
