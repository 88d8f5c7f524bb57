import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from attnbench.bench.gate.paired.journal import Journal
from attnbench.bench.records.lines import StoreError
from attnbench.bench.records.schema import Environment, as_json
from attnbench.bench.records.trial import Comparing, Side, Trial

ROOT = Path(__file__).parents[3]


def trial(number=1, case="b1", phase="screen", a=(100.0, 110.0, 90.0), b=(110.0, 121.0, 99.0), again=()):
    return Trial(case=case, number=number, phase=phase, a_ns=a, b_ns=b, again_ns=again, calls=1)


def comparing(cpu="one", **changes):
    fields = dict(
        created="2026-01-01T00:00:00+00:00",
        a=Side(implementation="x", revision="main", commit="0" * 40),
        b=Side(implementation="x", revision="topic", commit="1" * 40),
        cases=("b1", "b2"),
        seed=0,
        rule="sequential",
        environment=Environment(device="cpu", device_name="some", must_match={"cpu": cpu}),
    )
    return Comparing(**{**fields, **changes})


def test_a_launch_says_how_much_slower_b_is():
    one = trial(again=(100.0, 110.0, 180.0))
    assert math.isclose(one.log_ratio, math.log(1.1))
    assert one.aa_control == 0
    assert trial().aa_control is None


@pytest.mark.parametrize("b", [(), (1.0, 2.0), (1.0, 2.0, 0.0), (1.0, 2.0, math.inf), (1.0, 2.0, math.nan)])
def test_a_launch_of_unequal_or_impossible_times_is_refused(b):
    with pytest.raises(ValueError, match="trial 1 of b1"):
        trial(b=b)


def test_a_journal_goes_on_where_it_stopped(tmp_path):
    path = tmp_path / "deep" / "compare.jsonl"
    with Journal.open(path, comparing(), resume=False) as journal:
        for one in (trial(2), trial(1), trial(1, phase="confirm"), trial(1, case="b2", again=(1.0, 2.0, 3.0))):
            journal.append(one)
        assert journal.trials("b1", "screen") == (trial(1), trial(2))
    with Journal.open(path, comparing(created="later", command="other"), resume=True) as journal:
        assert journal.trials("b1", "screen") == (trial(1), trial(2))
        assert journal.trials("b1", "confirm") == (trial(1, phase="confirm"),)
        assert journal.trials("b2", "screen")[0].aa_control is not None
        assert journal.trials("b3", "screen") == ()
        assert not journal.damaged


def test_a_launch_that_is_done_again_stands_for_the_earlier_one(tmp_path):
    with Journal.open(tmp_path / "j", comparing(), resume=True) as journal:
        journal.append(trial(1))
        journal.append(trial(1, b=(1.0, 1.0, 1.0)))
        assert journal.trials("b1", "screen") == (trial(1, b=(1.0, 1.0, 1.0)),)


@pytest.mark.parametrize(
    ("tail", "words"),
    [
        (b'{"case":"b1","num', "line 3: it was never finished"),
        (b'{"case":"b1"}\n', "line 3: Object missing required"),
    ],
)
def test_a_damaged_last_line_is_skipped_and_said(tmp_path, tail, words):
    path = tmp_path / "j"
    with Journal.open(path, comparing(), resume=False) as journal:
        journal.append(trial(1))
    with path.open("ab") as file:
        file.write(tail)
    with Journal.open(path, comparing(), resume=True) as journal:
        assert words in " ".join(journal.damaged)
        journal.append(trial(2))
        assert journal.trials("b1", "screen") == (trial(1), trial(2))
    with Journal.open(path, comparing(), resume=True) as journal:
        assert journal.trials("b1", "screen") == (trial(1), trial(2))


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (comparing(b=Side(implementation="x", revision="topic", commit="2" * 40)), "the commit of B was '1111"),
        (comparing(a=Side(implementation="y")), "the implementation of A was 'x' and is 'y'"),
        (comparing(cases=("b1",)), "it has other cases"),
        (comparing(seed=1), "its seed was 0, this comparison's is 1"),
        (comparing(rule="other"), "its rule was 'sequential'"),
        (comparing(cpu="two"), "cpu was 'one' and is 'two'; trials on two machines"),
    ],
)
def test_another_comparison_or_machine_is_not_resumed(tmp_path, other, words):
    with Journal.open(tmp_path / "j", comparing(), resume=False) as journal:
        journal.append(trial(1))
    before = (tmp_path / "j").read_bytes()
    with pytest.raises(StoreError, match=words), Journal.open(tmp_path / "j", other, resume=True):
        pass
    assert (tmp_path / "j").read_bytes() == before


def test_a_journal_is_not_overwritten(tmp_path):
    with Journal.open(tmp_path / "j", comparing(), resume=False):
        pass
    with (
        pytest.raises(StoreError, match="exists; add --resume"),
        Journal.open(tmp_path / "j", comparing(), resume=False),
    ):
        pass


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"not json", "is no journal of a comparison"),
        (b"{}", "is no journal of a comparison"),
        (json.dumps({"schema": 99}).encode(), "has schema 99, this version reads up to 2"),
    ],
)
def test_what_is_no_journal_is_said(tmp_path, line, words):
    (tmp_path / "j").write_bytes(line + b"\n")
    with pytest.raises(StoreError, match=words), Journal.open(tmp_path / "j", comparing(), resume=True):
        pass


HOLDER = """
import sys, time
from pathlib import Path
import msgspec
from attnbench.bench.gate.paired.journal import Journal
from attnbench.bench.records.trial import Comparing
with Journal.open(Path(sys.argv[1]), msgspec.json.decode(sys.argv[2], type=Comparing), resume=True):
    print("open", flush=True)
    time.sleep(100)
"""


def test_a_second_writer_is_refused_until_the_first_is_gone_however_it_went(tmp_path):
    path = tmp_path / "j"
    command = [sys.executable, "-c", HOLDER, str(path), as_json(comparing()).decode()]
    holder = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "open\n"
    with (
        pytest.raises(StoreError, match="another comparison writes to"),
        Journal.open(path, comparing(), resume=True),
    ):
        pass
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    start = time.monotonic()
    with Journal.open(path, comparing(), resume=True) as journal:
        journal.append(trial(1))
    assert time.monotonic() - start < 1
