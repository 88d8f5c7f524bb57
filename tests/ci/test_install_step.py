"""What the action installs, with a stand-in for Python that records its calls."""

import pytest

STAND_IN = """#!/bin/sh
echo "$*" >> "$CALLS"
case "$*" in
"-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python";;
"-c "*) echo 3.11;;
esac
"""


@pytest.fixture
def step(runner):
    folder = runner.folder / "bin"
    folder.mkdir()
    (folder / "python3").write_text(STAND_IN)
    (folder / "python3").chmod(0o755)
    (runner.harness / "constraints.txt").write_text("torch==2.13.0\n")
    runner.variables |= {
        "PATH": f"{folder}:{runner.environment['PATH']}",
        "CALLS": str(runner.folder / "calls"),
        "INPUT_REQUIREMENTS": "",
    }

    def run(script="install.sh", **variables):
        done = runner.run(script, **variables)
        calls = runner.folder / "calls"
        return done, calls.read_text().splitlines() if calls.exists() else []

    return run


def test_pinned_makes_an_environment_with_the_versions_that_were_tested(step, runner):
    done, calls = step(INPUT_INSTALL="pinned")
    assert done.returncode == 0, done.stderr
    folder = runner.folder / "temp" / "attention-gate-python"
    assert calls == [
        f"-m venv {folder}",
        f"-m pip install --disable-pip-version-check --constraint {runner.harness}/constraints.txt {runner.harness}",
    ]
    assert runner.outputs == {"python": str(folder / "bin" / "python")}


def test_missing_leaves_the_present_versions_alone(step, runner):
    _, calls = step(INPUT_INSTALL="missing", INPUT_REQUIREMENTS="needs.txt")
    assert calls == [
        f"-m pip install --disable-pip-version-check {runner.harness} --requirement {runner.workspace}/needs.txt"
    ]
    assert runner.outputs == {"python": str(runner.folder / "bin" / "python3")}


def test_none_installs_nothing(step, runner):
    _, calls = step(INPUT_INSTALL="none")
    assert calls == []
    assert runner.outputs == {"python": str(runner.folder / "bin" / "python3")}


def test_an_unknown_word_is_refused(step):
    done, calls = step(INPUT_INSTALL="latest")
    assert (done.returncode, calls) == (2, [])
    assert "expected pinned, missing or none" in done.stdout


def test_the_caches_name_follows_the_pins(step, runner):
    step("cache-key.sh")
    first = runner.outputs["key"]
    (runner.harness / "constraints.txt").write_text("torch==2.14.0\n")
    step("cache-key.sh")
    assert first.startswith("attention-gate-pip-Linux-X64-3.11-")
    assert runner.outputs["key"] != first
