"""What ``pytest bench`` does with a sweep: the same as ``run``, a record for each test."""

from collections.abc import Iterable
from contextlib import ExitStack

from attnbench.bench.agreement.families import FAMILIES
from attnbench.bench.case_run import Settings
from attnbench.bench.cli.session import Session, session
from attnbench.bench.records.schema import Environment, Record
from attnbench.bench.run import run_case
from attnbench.bench.sweeps import Sweep
from attnbench.bench.timing.rounds import Effort
from attnbench.impls.contract import Case


class SweepSession:
    """Workers for the implementations of a pytest session, and the records of its cases.

    A case is run when the first of its tests asks, with all implementations that the session
    selected for it, so that they are sampled in the same rounds, as ``run`` does.
    """

    def __init__(self, names: Iterable[str], device: str, sweep: Sweep) -> None:
        """Start the workers; raises a ClickException for a name or a device that isn't there."""
        self.sweep, self._stack = sweep, ExitStack()
        self._open: Session = self._stack.enter_context(session(tuple(names), device, sweep, None))
        self._selected: dict[str, list[str]] = {}
        self._records: dict[tuple[str, str], Record] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The implementations, in order."""
        return self._open.names

    @property
    def environment(self) -> Environment:
        """The machine that the records are made on."""
        return self._open.environment

    def select(self, pairs: Iterable[tuple[Case, str]]) -> None:
        """Say which cases and implementations the session has tests for."""
        for case, name in pairs:
            self._selected.setdefault(case.id, []).append(name)

    def record(self, case: Case, name: str, effort: Effort | None) -> Record:
        """The record of `case` with the implementation `name`; without an effort it is checked and not timed."""
        if (case.id, name) not in self._records:
            settings = Settings(families=tuple(FAMILIES), timed=effort is not None, effort=effort or Effort())
            for record in run_case(case, self._selected.get(case.id, [name]), self._open.pool, settings):
                self._records[record.key] = record
        return self._records[case.id, name]

    def close(self) -> None:
        """End the workers."""
        self._stack.close()
