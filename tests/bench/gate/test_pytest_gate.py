"""``--bench-gate`` as a user's session sees it: its exit code, its words and its JUnit file."""

import json
import xml.etree.ElementTree as ET
from importlib.util import find_spec
from pathlib import Path

import msgspec
import pytest
import torch  # noqa: F401  # here, since pytester forgets what a session imports, and torch loads once

from attnbench.bench.records.store import read_run, write_run

pytest_plugins = ["pytester"]

needs_xdist = pytest.mark.skipif(not find_spec("xdist"), reason="pytest-xdist is not installed")
CONFTEST = """
import pytest

def pytest_addoption(parser):
    parser.addoption("--device", default="cpu")
"""
TESTS = """
import pytest

from attnbench.bench.case_run import why_wrong
from attnbench.bench.records.schema import Agreement, Measurement, Record, Status
from attnbench.bench.timing.replay import VirtualClock
from tests.bench.gate.stored_runs import CASES, comparison

CLOCK = VirtualClock()
SECONDS = {seconds}

@pytest.fixture(params={names}, ids=str)
def implementation(request):
    return request.param

@pytest.fixture(params=CASES[:{cases}], ids=lambda case: case.id)
def case(request):
    return request.param

@pytest.mark.benchmark(timer=CLOCK)
def test_attention(benchmark, implementation, case, kept):
    {first}
    agreement = Agreement(comparisons=(comparison({share}),))
    if not agreement.ok:
        kept.record = Record(
            case=case, implementation=implementation, status=Status.WRONG, reason=why_wrong(agreement), agreement=agreement
        )
        pytest.fail(kept.record.reason)
    times = Measurement(
        samples_ns=tuple(s * 1e9 for s in SECONDS), calls=1, clock="replayed", cache="warm", timed_region=case.direction
    )
    kept.record = Record(
        case=case, implementation=implementation, status=Status.PASSED, agreement=agreement, measurement=times
    )
    benchmark.pedantic(CLOCK.replay, args=(iter(SECONDS),), rounds=len(SECONDS), iterations=1)
"""
SECONDS = [0.001, 0.00101, 0.00099, 0.001, 0.001, 0.00102]


@pytest.fixture
def session(pytester, monkeypatch):
    """Runs a session of made-up benchmarks: `slower` times as slow as the one that was saved."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makeconftest(CONFTEST)

    def run(*arguments, slower=1.0, names=("fast", "plain"), cases=1, first="pass", share=0.2):
        seconds = [second * slower for second in SECONDS]
        pytester.makepyfile(TESTS.format(seconds=seconds, names=list(names), cases=cases, first=first, share=share))
        plugins = [
            "-p",
            "attnbench.bench.gate.pytest_plugin",
            "-p",
            "pytest_benchmark.plugin",
            "-p",
            "no:cacheprovider",
        ]
        return pytester.runpytest_inprocess(*plugins, *map(str, arguments))

    return run


@pytest.fixture
def saved(session, pytester):
    assert session("--bench-gate-save", "before").ret == 0
    return pytester.path / "before"


def counts(path):
    suite = ET.parse(path).getroot().find("testsuite")
    return {name: int(suite.get(name)) for name in ("tests", "failures", "errors", "skipped")}


def test_a_session_is_kept_as_a_run_with_device_times(saved):
    kept = read_run(saved)
    assert [record.implementation for record in kept.records] == ["fast", "plain"]
    assert kept.records[0].measurement.samples_ns == pytest.approx([second * 1e9 for second in SECONDS])
    assert kept.records[0].measurement.clock == "replayed"
    assert "method" in kept.header.environment.must_match


def test_alike_sessions_pass(session, saved):
    done = session("--bench-gate", saved, "--junitxml=j.xml")
    assert done.ret == 0
    done.stdout.fnmatch_lines(["*bench-gate: UNCHANGED*", "*2 findings: 2 UNCHANGED*"])
    assert counts("j.xml") == {"tests": 2, "failures": 0, "errors": 0, "skipped": 0}


def test_a_slower_session_fails_in_its_exit_code_its_summary_and_its_junit(session, saved):
    done = session("--bench-gate", saved, "--junitxml=j.xml", "--benchmark-json=b.json", slower=1.5)
    assert done.ret == 1
    done.stdout.fnmatch_lines(["*bench-gate: REGRESSED*", "*REGRESSED*fast*1.5*", "*2 failed, 2 passed*"])
    assert counts("j.xml") == {"tests": 4, "failures": 2, "errors": 0, "skipped": 0}
    gate = json.loads(Path("b.json").read_text())["gate"]
    assert (gate["verdict"], gate["exit_code"]) == ("REGRESSED", 1)


def test_what_cant_be_told_is_no_pass(session, saved):
    done = session("--bench-gate", saved, "--junitxml=j.xml", slower=1.09)
    assert done.ret == 4
    assert counts("j.xml")["errors"] == 2
    done.stdout.fnmatch_lines(["*bench-gate: UNDECIDED*"])


def test_missing_and_new_benchmarks_are_named_and_fail_if_asked(session, saved):
    done = session("--bench-gate", saved, names=("fast", "other"))
    assert done.ret == 0
    done.stdout.fnmatch_lines(["*MISSING*plain*", "*NEW*other*"])
    asked = session("--bench-gate", saved, "--bench-gate-fail-on=missing", "--junitxml=j.xml", names=("fast",))
    assert asked.ret == 1
    assert counts("j.xml")["failures"] == 1


def test_nothing_in_common_is_no_pass(session, saved):
    assert session("--bench-gate", saved, names=("other",)).ret == 4


def test_all_skipped_is_no_pass(session, saved):
    done = session("--bench-gate", saved, "--junitxml=j.xml", first="pytest.skip('no such feature')")
    assert done.ret == 1, "they passed before"
    done.stdout.fnmatch_lines(["*no record that passed*", "*status*was PASSED, is UNSUPPORTED (no such feature)*"])
    assert counts("j.xml")["failures"] == 2


def test_all_skipped_as_before_is_no_pass_either(session, pytester):
    session("--bench-gate-save", "before", first="pytest.skip('no such feature')")
    done = session("--bench-gate", "before", "--junitxml=j.xml", first="pytest.skip('no such feature')")
    assert done.ret == 4
    assert counts("j.xml")["errors"] == 1


def test_nothing_collected_is_no_pass(session, saved):
    assert session("--bench-gate", saved, "-k", "no_such_test").ret == 4


def test_another_machine_is_incomparable(session, saved):
    run = read_run(saved)
    machine = run.header.environment
    other = msgspec.structs.replace(machine, must_match=machine.must_match | {"cpu": "Another CPU"})
    write_run(msgspec.structs.replace(run, header=msgspec.structs.replace(run.header, environment=other)), saved)
    done = session("--bench-gate", saved, "--junitxml=j.xml", slower=9)
    assert done.ret == 4
    done.stdout.fnmatch_lines(["*cpu is Another CPU in the baseline*"])
    assert counts("j.xml")["errors"] == 3


def test_a_wrong_result_is_a_finding_beside_the_failed_test(session, saved):
    done = session("--bench-gate", saved, share=7.0)
    assert done.ret == 1
    done.stdout.fnmatch_lines(["*REGRESSED*wrong*fast*was PASSED, is WRONG*"])


def test_a_broken_test_is_an_ending(session, saved):
    done = session("--bench-gate", saved, first="raise RuntimeError('no memory')")
    assert done.ret == 1
    done.stdout.fnmatch_lines(["*REGRESSED*status*is ERROR (RuntimeError: no memory)*"])


def test_an_accepted_finding_passes_and_is_shown(session, saved, pytester):
    pytester.path.joinpath("allow.toml").write_text(
        '[[allow]]\ncase = "*"\nimplementation = "*"\nabout = "time"\nreason = "known"\nexpires = 2999-01-01\n'
    )
    done = session("--bench-gate", saved, "--bench-gate-allow=allow.toml", slower=1.5)
    assert done.ret == 0
    done.stdout.fnmatch_lines(["*2 REGRESSED (2 accepted)*"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--benchmark-disable"], "leave out --benchmark-disable"),
        (["--benchmark-skip"], "leave out --benchmark-skip"),
        pytest.param(["-p", "xdist.plugin", "-n", "2"], "leave out -n", marks=needs_xdist),
        (["--bench-gate-allow=none.toml"], "can't read none.toml"),
        (["--bench-gate-fail-on=slow"], "not 'slow'"),
        (["--bench-gate-save", "before"], "there is a run already"),
        (["--bench-gate", "nowhere"], "no baseline 'nowhere'"),
        (["--device=tpu"], "'tpu' is not known"),
    ],
)
def test_what_cant_be_gated_is_refused_before_it_runs(session, saved, arguments, words):
    done = session("--bench-gate", saved, *arguments)
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines([f"*{words.replace('[', '?')}*"])
    assert "passed" not in str(done.stdout)


def test_disabled_benchmarks_have_no_stats_and_no_verdict(session, saved, pytester):
    """Should pytest-benchmark disable itself for a reason of its own, nothing passes in silence."""
    done = session("--bench-gate", saved, first="benchmark.disabled = True")
    assert done.ret == 4
    done.stdout.fnmatch_lines(["*UNDECIDED*timed in the baseline and not here*"])


def test_compare_fail_across_machines_is_refused(session, saved):
    assert session("--bench-gate", saved, "--benchmark-json=b.json").ret == 0
    told = json.loads(Path("b.json").read_text())
    told["machine_info"]["attnbench"]["cpu"] = "Another CPU"
    Path("b.json").write_text(json.dumps(told))
    done = session("--bench-gate", saved, "--benchmark-compare=b.json", "--benchmark-compare-fail=mean:5%")
    assert done.ret != 0
    done.stderr.fnmatch_lines(["*measured elsewhere: cpu was Another CPU*"])


def test_without_the_gate_nothing_changes(session):
    done = session(slower=9, first="pytest.skip('no')")
    assert done.ret == 0
    assert "bench-gate" not in str(done.stdout)
