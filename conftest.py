"""pytest's options for ``pytest bench --benchmark-only``, and the fixtures behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from attnbench.impls.contract import ANY_DEVICE

if TYPE_CHECKING:
    from attnbench.bench.pytest_session import SweepSession
    from attnbench.bench.timing.replay import VirtualClock
    from attnbench.bench.timing.rounds import Effort


DEFAULT_SWEEP = "smoke"
NEEDED = {"implementation", "case", "sweep_session"}
"""Arguments of a test that is made for each case and implementation."""

pytest_plugins = ["attnbench.bench.gate.pytest_plugin"]
_session = pytest.StashKey["SweepSession"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that choose what ``pytest bench`` runs."""
    group = parser.getgroup("attnbench")
    group.addoption("--sweep", default=DEFAULT_SWEEP, metavar="NAME|FILE.toml", help="the sweep to benchmark")
    group.addoption(
        "--impl",
        action="append",
        default=[],
        metavar="NAME|FILE.py:FUNCTION",
        help="an implementation; repeatable; without it all that run here",
    )
    group.addoption("--device", default="cpu", choices=ANY_DEVICE, help="where to run them")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse a bad ``--impl``, ``--sweep`` or ``--device`` before anything is collected, in one line."""
    option = config.getoption
    if option("--impl") or option("--sweep") != DEFAULT_SWEEP or option("--device") != "cpu":
        _started(config)


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the workers."""
    if (session := config.stash.get(_session, None)) is not None:
        session.close()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One benchmark for each implementation and case; ids are names and case ids."""
    if not set(metafunc.fixturenames) >= NEEDED:
        return
    session = _started(metafunc.config)
    metafunc.parametrize("implementation", session.names)
    metafunc.parametrize("case", session.sweep.cases, ids=[case.id for case in session.sweep.cases])


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tell the session what is left to run, and give each benchmark a timer that replays measured times."""
    mine = [item for item in items if set(getattr(item, "fixturenames", ())) >= NEEDED]
    if not mine:
        return
    from attnbench.bench.timing.replay import VirtualClock

    for item in mine:
        item.add_marker(pytest.mark.benchmark(timer=VirtualClock()))
    params = [item.callspec.params for item in mine]  # type: ignore[attr-defined]  # parametrized above
    _started(config).select((each["case"], each["implementation"]) for each in params)


def _started(config: pytest.Config) -> SweepSession:
    """The session's workers, started when first asked for. Raises pytest's UsageError."""
    if _session not in config.stash:
        import click

        from attnbench.bench.pytest_session import SweepSession
        from attnbench.bench.sweeps import SweepError, load_sweep

        try:
            sweep = load_sweep(config.getoption("--sweep"))
            config.stash[_session] = SweepSession(config.getoption("--impl"), config.getoption("--device"), sweep)
        except (SweepError, click.ClickException) as error:
            raise pytest.UsageError(str(error)) from error
    return config.stash[_session]


@pytest.fixture(scope="session")
def sweep_session(request: pytest.FixtureRequest) -> SweepSession:
    """Workers for the chosen implementations, and the records of the cases."""
    return _started(request.config)


@pytest.fixture
def effort(request: pytest.FixtureRequest, benchmark: object) -> Effort | None:
    """How long to sample, by pytest-benchmark's own options; None where it times nothing."""
    from attnbench.bench.timing.rounds import Effort

    if getattr(benchmark, "disabled", False):
        return None
    option = request.config.getoption
    return Effort(budget_s=float(option("benchmark_max_time")), at_least=int(option("benchmark_min_rounds")))


@pytest.fixture
def replay_clock(request: pytest.FixtureRequest) -> VirtualClock:
    """The clock that replays measured times to pytest-benchmark."""
    marker = request.node.get_closest_marker("benchmark")
    assert marker is not None, "each of these tests was given a timer"
    clock: VirtualClock = marker.kwargs["timer"]
    return clock
