"""pytest's options for ``pytest bench --benchmark-only``, and the fixtures behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from attnbench.impls.contract import ANY_DEVICE

if TYPE_CHECKING:
    from attnbench.bench.agreement.oracle import Oracle
    from attnbench.bench.sweeps import Sweep
    from attnbench.bench.timing.replay import VirtualClock
    from attnbench.impls.contract import Implementation


DEFAULT_SWEEP = "smoke"
pytest_plugins = ["attnbench.bench.gate.pytest_plugin"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that choose what ``pytest bench`` runs."""
    group = parser.getgroup("attnbench")
    group.addoption("--sweep", default=DEFAULT_SWEEP, metavar="NAME|FILE.toml", help="the sweep to benchmark")
    group.addoption(
        "--impl",
        action="append",
        default=[],
        metavar="NAME|FILE.py:FUNCTION",
        help="an implementation; repeatable; all without it",
    )
    group.addoption("--device", default="cpu", choices=ANY_DEVICE, help="where to run them")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse a bad ``--impl`` or ``--sweep`` before anything is collected, in one line."""
    if config.getoption("--impl") or config.getoption("--sweep") != DEFAULT_SWEEP:
        _chosen(config)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One benchmark for each implementation and case; ids are names and case ids."""
    if not {"implementation", "case", "oracle"} <= set(metafunc.fixturenames):
        return
    implementations, sweep = _chosen(metafunc.config)
    metafunc.parametrize("implementation", implementations, ids=[one.name for one in implementations])
    metafunc.parametrize("case", sweep.cases, ids=[case.id for case in sweep.cases])


def _chosen(config: pytest.Config) -> tuple[list[Implementation], Sweep]:
    from attnbench.bench.registry.catalogue import UnknownImplementation, catalogue, find
    from attnbench.bench.registry.loading import UserFileError
    from attnbench.bench.sweeps import SweepError, load_sweep

    try:
        sweep = load_sweep(config.getoption("--sweep"))
        names = config.getoption("--impl") or sweep.implementations or list(catalogue())
        return [find(name) for name in names], sweep
    except (SweepError, UnknownImplementation, UserFileError) as error:
        raise pytest.UsageError(str(error)) from error


@pytest.fixture(scope="session")
def oracle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Oracle:
    """The oracle on the chosen device; what it computed is shared by all implementations."""
    from attnbench.bench.agreement.oracle import Oracle

    return Oracle(tmp_path_factory.mktemp("oracle"), request.config.getoption("--device"))


@pytest.fixture
def device_clock(request: pytest.FixtureRequest) -> VirtualClock | None:
    """The virtual clock that replays a device's times; None on a CPU, whose clock is the host's."""
    marker = request.node.get_closest_marker("benchmark")
    return marker.kwargs.get("timer") if marker else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On a device with its own clock, give each benchmark a timer that replays it."""
    if config.getoption("--device") == "cpu":
        return
    from attnbench.bench.timing.replay import VirtualClock

    for item in items:
        if "device_clock" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.benchmark(timer=VirtualClock()))
