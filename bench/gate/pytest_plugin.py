"""``pytest bench --benchmark-only --bench-gate BASELINE``: the verdicts of ``bench gate`` in a pytest session.

A verdict that is no pass is also a report of its own, so that it stands in pytest's
counts, in its exit code and in its JUnit XML: REGRESSED as a failure, UNDECIDED and
INCOMPARABLE as an error. The exit code is 1 or 4, as of ``bench gate``.
"""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path
from shlex import join
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

    from attnbench.bench.gate.allow import Entry
    from attnbench.bench.gate.stored.baselines import Baseline
    from attnbench.bench.gate.stored.pytest_run import Kept
    from attnbench.bench.records.schema import Environment, Record, Run
    from attnbench.bench.records.verdict import Finding, Judgement, Verdict

LOG_WIDTH = 180
LEAST_WIDTH = 100
MAY_FOLLOW = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED)
"""Ends of a session whose exit code the verdict may replace: a crash or a Ctrl-C keeps its own."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the gate's options beside those that choose what is benchmarked."""
    group = parser.getgroup("attnbench")
    group.addoption(
        "--bench-gate", metavar="RUN|NAME", help="judge this session by a run or a saved baseline; exit 1 or 4"
    )
    group.addoption("--bench-gate-save", metavar="DIR", help="keep this session as a run, to be judged by")
    group.addoption("--bench-gate-folder", default="baselines", metavar="DIR", help="where named baselines are")
    group.addoption("--bench-gate-allow", metavar="FILE", help="accepted findings, as for `bench gate --allow`")
    group.addoption("--bench-gate-fail-on", default="", metavar="new,missing", help="also fail on these verdicts")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse invalid combinations of options before anything is measured."""
    if not config.getoption("--bench-gate") and not config.getoption("--bench-gate-save"):
        return
    config.pluginmanager.register(Gate(config), "attnbench-gate")


@pytest.fixture
def kept() -> Kept:
    """What a benchmark keeps of its case, for the gate."""
    from attnbench.bench.gate.stored.pytest_run import Kept

    return Kept()


class Gate:
    """Collects the session's records and judges them at the end; a session without data does not pass."""

    def __init__(self, config: pytest.Config) -> None:
        """Read the baseline and the accepted findings; raises UsageError for what can't be used."""
        self.config, self.records = config, dict[tuple[str, str], "Record"]()
        self._judged: Judgement | None = None
        _refuse_untimed(config)
        self.machine = _machine(config.getoption("--device"))
        self.save_to = _free_folder(config.getoption("--bench-gate-save"))
        self.against = self._against()
        self.allowed, self.required = self._options()

    def _against(self) -> Run | Baseline | None:
        from attnbench.bench.gate.stored.baselines import BaselineError, resolve
        from attnbench.bench.records.store import StoreError

        name = self.config.getoption("--bench-gate")
        try:
            return resolve(name, Path(self.config.getoption("--bench-gate-folder"))) if name else None
        except (BaselineError, StoreError) as error:
            raise pytest.UsageError(f"--bench-gate: {error}; --bench-gate-save DIR makes a run") from error

    def _options(self) -> tuple[tuple[Entry, ...], tuple[Verdict, ...]]:
        from attnbench.bench.gate.allow import AllowError, asked, read_allow

        path = self.config.getoption("--bench-gate-allow")
        try:
            return read_allow(Path(path)) if path else (), asked(self.config.getoption("--bench-gate-fail-on"))
        except AllowError as error:
            raise pytest.UsageError(f"--bench-gate-allow or --bench-gate-fail-on: {error}") from error

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Keep the record of a benchmark whose test knows its case."""
        report = yield
        known: dict[str, Any] = getattr(item, "funcargs", {})
        if report.when == "call" and {"implementation", "case", "benchmark", "kept"} <= known.keys():
            from attnbench.bench.gate.stored.pytest_run import record

            made = record(
                known["case"],
                known["implementation"],
                known["kept"],
                _ending(report, call),
                known["benchmark"],
            )
            self.records[made.key] = made
        return report

    def run(self) -> Run:
        """This session as a run."""
        from attnbench.bench.gate.stored.pytest_run import session_run

        return session_run(list(self.records.values()), self.machine, join(["pytest", *self._arguments()]))

    def _arguments(self) -> list[str]:
        return [str(word) for word in self.config.invocation_params.args]

    def judgement(self) -> Judgement | None:
        """The verdict over the session, made once; None where it is only kept."""
        if self._judged is None and self.against is not None:
            from attnbench.bench.gate.allow import settled
            from attnbench.bench.gate.stored.baselines import judge_by

            judged = judge_by(self.run(), self.against)
            self._judged = settled(judged, self.allowed, self.required, datetime.now(UTC).date())
        return self._judged

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Keep the run; report each verdict that is no pass, before JUnit's file is written."""
        if session.exitstatus not in MAY_FOLLOW:
            return
        if self.save_to is not None:
            _save(self.run(), self.save_to)
        judged = self.judgement()
        if judged is None or not judged.exit_code:
            return
        for one in judged.findings:
            if kind := _kind(one, failing=one in judged.failing):
                _report(session, _nodeid(one), _words(one), kind)
        if judged.invalid_reason or not judged.findings:
            _report(session, "bench-gate::decides", judged.invalid_reason or "nothing was judged", "error")
        if session.exitstatus != pytest.ExitCode.TESTS_FAILED:
            session.exitstatus = judged.exit_code

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """The table of ``bench gate`` in a section of its own."""
        judged = self.judgement()
        if self.save_to is not None:
            terminalreporter.write_line(f"bench-gate: this session is kept as a run in {self.save_to}")
        if judged is None:
            return
        from rich.console import Console

        from attnbench.reports.verdicts import terminal

        text = io.StringIO()
        width = max(get_terminal_size((LOG_WIDTH, 24)).columns, LEAST_WIDTH)
        terminal.render(judged, Console(file=text, width=width, highlight=False))
        terminalreporter.section(f"bench-gate: {judged.verdict}", red=bool(judged.exit_code), bold=True)
        terminalreporter.write(text.getvalue())

    def pytest_benchmark_update_machine_info(self, machine_info: dict[str, Any]) -> None:
        """Add the fingerprint of the machine to pytest-benchmark's own files."""
        machine_info["attnbench"] = {"fingerprint": self.machine.fingerprint, **self.machine.must_match}

    def pytest_benchmark_compare_machine_info(
        self, config: pytest.Config, machine_info: dict[str, Any], compared_benchmark: dict[str, Any]
    ) -> None:
        """Refuse --benchmark-compare-fail across machines."""
        here = machine_info.get("attnbench", {})
        there = compared_benchmark.get("machine_info", {}).get("attnbench", {})
        if config.getoption("benchmark_compare_fail") and here and there and here != there:
            names = sorted(name for name in here.keys() | there.keys() if here.get(name) != there.get(name))
            changed = "; ".join(f"{name} was {there.get(name)} and is {here.get(name)}" for name in names)
            raise pytest.UsageError(f"--benchmark-compare-fail: measured elsewhere: {changed}")

    def pytest_benchmark_update_json(self, output_json: dict[str, Any]) -> None:
        """Put the judgement into pytest-benchmark's JSON, as its top-level ``gate``."""
        from attnbench.reports.verdicts import as_json

        judged = self.judgement()
        if judged is not None:
            output_json["gate"] = as_json.as_dict(judged)


def _machine(device: str) -> Environment:
    from attnbench.bench.records.environment import environment
    from attnbench.bench.timing.machine import DeviceError, torch_facts

    try:
        return environment(device, torch_facts(device))
    except DeviceError as error:
        raise pytest.UsageError(str(error)) from error


def _refuse_untimed(config: pytest.Config) -> None:
    """A session that times nothing can't be judged, and is no pass."""
    if config.getoption("dist", "no") != "no":
        raise pytest.UsageError("--bench-gate needs undisturbed times: leave out -n, with which nothing is timed")
    for name in ("benchmark_disable", "benchmark_skip"):
        if config.getoption(name, False) and not config.getoption("benchmark_enable", False):
            raise pytest.UsageError(f"--bench-gate needs times: leave out --{name.replace('_', '-')}")


def _free_folder(name: str | None) -> Path | None:
    from attnbench.bench.records.store import run_file

    if name and run_file(Path(name)).is_file():
        raise pytest.UsageError(f"--bench-gate-save {name}: there is a run already; give another folder")
    return Path(name) if name else None


def _save(run: Run, folder: Path) -> None:
    from attnbench.bench.records.store import write_run

    write_run(run, folder)


def _ending(report: pytest.TestReport, call: pytest.CallInfo[None]) -> Any:
    from attnbench.bench.gate.stored.pytest_run import Ending

    if report.outcome == "skipped" and isinstance(report.longrepr, tuple):
        return Ending("skipped", report.longrepr[2].removeprefix("Skipped: "))
    if report.outcome == "failed" and call.excinfo is not None:
        return Ending("failed", " ".join(call.excinfo.exconly().split()))
    return Ending(report.outcome)


def _kind(finding: Finding, *, failing: bool) -> str:
    from attnbench.bench.records.verdict import OPEN

    if failing:
        return "failure"
    return "error" if finding.verdict in OPEN and not finding.allowed else ""


def _nodeid(finding: Finding) -> str:
    return f"bench-gate::{finding.about}[{finding.implementation}-{finding.case}]"


def _words(finding: Finding) -> str:
    from attnbench.reports.verdicts.sentences import sentence

    return sentence(finding) + (f"\nrepeat: {finding.repeat}" if finding.repeat else "")


def _report(session: pytest.Session, nodeid: str, words: str, kind: str) -> None:
    """A report that counts as a failed test, or as an error, to every plugin that listens."""
    for when, outcome in (("setup" if kind == "error" else "call", "failed"), ("teardown", "passed")):
        report = pytest.TestReport(
            nodeid=nodeid,
            location=("bench-gate", None, nodeid.partition("::")[2]),
            keywords={},
            outcome=outcome,  # type: ignore[arg-type]  # one of pytest's words
            longrepr=words if outcome == "failed" else None,
            when=when,  # type: ignore[arg-type]  # one of pytest's words
        )
        session.config.hook.pytest_runtest_logreport(report=report)
