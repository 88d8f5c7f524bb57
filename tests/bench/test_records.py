"""The run's file and its types: what fits, what is refused, what a crash leaves."""

import json
import math
import random
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnbench.bench.records.schema import (
    SCHEMA,
    Agreement,
    Check,
    Comparison,
    Environment,
    Header,
    KnownLimit,
    Measurement,
    Record,
    Status,
    as_json,
    median_interval,
    real,
)
from attnbench.bench.records.store import RunWriter, StoreError, frame, read_run
from attnbench.impls.contract import parse_case

CASE = parse_case("b1-h4-kv2-s16-d8-causal-fp32")


def comparison(**changes):
    fields = dict(
        output="out",
        family="normal",
        max_error=1e-7,
        max_budget=1e-6,
        l2_error=1e-7,
        l2_budget=1e-6,
        worst_index=(0, 0, 0, 0),
        expected=1.0,
        got=1.0,
        finite=True,
        judged=10,
        outside=0,
    )
    return Comparison(**{**fields, **changes})


GOOD = Agreement(comparisons=(comparison(),))
BAD = Agreement(comparisons=(comparison(max_error=1.0),))
TIMES = Measurement(samples_ns=(3.0, 1.0, 2.0), calls=1, clock="perf_counter", cache="warm")


def header(**changes):
    fields = dict(
        created="2026-01-01",
        sweep="smoke",
        cases=(CASE.id,),
        implementations=("a", "b"),
        seed=0,
        environment=Environment(device="cpu", device_name="test", must_match={"cpu": "x"}),
    )
    return Header(**{**fields, **changes})


def record(name="a", **changes):
    return Record(**{**dict(case=CASE, implementation=name, status=Status.PASSED, agreement=GOOD), **changes})


@pytest.mark.parametrize(
    "fields",
    [
        dict(status=Status.PASSED, agreement=None),
        dict(status=Status.PASSED, agreement=BAD),
        dict(status=Status.WRONG, agreement=BAD),
        dict(status=Status.UNSUPPORTED, reason="no", agreement=GOOD),
        dict(status=Status.TIMEOUT, reason="slow", agreement=None, measurement=TIMES),
        dict(status=Status.WRONG, reason="it is", agreement=BAD, measurement=TIMES),
    ],
)
def test_a_status_whose_fields_dont_fit_is_refused(fields):
    with pytest.raises(ValueError, match="PASSED|WRONG|UNSUPPORTED|TIMEOUT"):
        record(**fields)


def test_a_declared_limit_excuses_its_family_only():
    limit = KnownLimit(family="spike", reason="0 / 0", seen=True)
    spike = comparison(family="spike", max_error="nan", finite=False)
    assert Agreement(comparisons=(comparison(), spike), known_limits=(limit,)).ok
    assert not Agreement(comparisons=(comparison(max_error=1.0), spike), known_limits=(limit,)).ok


def test_only_required_checks_make_wrong():
    assert Agreement(comparisons=(comparison(),), checks=(Check(name="x", ok=False, required=False),)).ok
    assert not Agreement(comparisons=(comparison(),), checks=(Check(name="x", ok=False),)).ok


@pytest.mark.parametrize("value", [0.5, math.inf, -math.inf, math.nan])
def test_numbers_that_are_not_finite_survive_json(value):
    kept = msgspec.json.decode(as_json(comparison(got=real(value))), type=Comparison)
    assert str(float(kept.got)) == str(value)


@given(st.lists(st.floats(1, 1e9), min_size=1, max_size=60))
def test_the_median_lies_in_its_interval(samples):
    low, high = median_interval(samples)
    ordered = sorted(samples)
    assert low <= ordered[len(ordered) // 2] <= high or low <= ordered[(len(ordered) - 1) // 2] <= high


@pytest.mark.parametrize(("count", "cut"), [(5, 0), (6, 0), (8, 0), (9, 1), (12, 2), (20, 5), (40, 13)])
def test_ranks_are_those_of_the_published_table(count, cut):
    """Ranks of the 95% sign interval of the median as statistics books tabulate them."""
    assert median_interval(range(count)) == (cut, count - 1 - cut)


@pytest.mark.parametrize("count", [1, 2, 5, 6, 400, 1030, 1031, 1100, 10_000, 100_001])
def test_ranks_are_those_of_the_binomial_however_many_samples_there_are(count):
    """As scipy's exact distribution has them; neither factor of a long run's chance is a float."""
    from scipy.stats import binom

    below = [rank for rank in range(count) if binom.cdf(rank, count, 0.5) <= 0.025] if count < 2000 else None
    rank = len(below) - 1 if below else 0
    if below is None:
        rank = int(binom.ppf(0.025, count, 0.5)) - 1
    low, high = median_interval(range(count))
    assert low == max(rank, 0)
    assert high == count - 1 - low


def test_the_interval_covers_the_median_as_often_as_it_says():
    draw = random.Random(0)
    trials, hits = 3000, 0
    for _ in range(trials):
        low, high = median_interval([draw.expovariate(1) for _ in range(15)])
        hits += low <= math.log(2) <= high
    assert hits / trials >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / trials)


def test_a_run_reads_back_as_it_was_written(tmp_path):
    with RunWriter(tmp_path / "run", header()) as writer:
        writer.append(record("a", measurement=TIMES))
        writer.append(record("b", status=Status.ERROR, agreement=None, reason="boom"))
    run = read_run(tmp_path / "run")
    assert run.header.schema == SCHEMA
    assert [r.key for r in run.records] == [(CASE.id, "a"), (CASE.id, "b")]
    table = frame(run)
    assert list(table["median_ns"])[0] == 2.0
    assert set(table["status"]) == {"PASSED", "ERROR"}


def test_pandas_reads_the_file_alone(tmp_path):
    pd = pytest.importorskip("pandas", reason="the data frame helper needs pandas")
    with RunWriter(tmp_path, header()) as writer:
        writer.append(record())
    assert list(pd.read_json(tmp_path / "run.jsonl", lines=True)["status"].dropna()) == ["PASSED"]


def test_a_torn_last_line_is_named_when_read_and_cut_off_when_resumed(tmp_path):
    with RunWriter(tmp_path, header()) as writer:
        writer.append(record())
    with (tmp_path / "run.jsonl").open("ab") as file:
        file.write(as_json(record("b"))[:50])
    assert read_run(tmp_path).damaged[0].startswith("line 3")
    with RunWriter(tmp_path, header(), resume=True) as writer:
        assert [r.implementation for r in writer.done] == ["a"]
        writer.append(record("b"))
    run = read_run(tmp_path)
    assert not run.damaged
    assert not run.missing


def test_a_second_writer_is_told_so(tmp_path):
    with RunWriter(tmp_path, header()), pytest.raises(StoreError, match="another run writes to"):
        RunWriter(tmp_path, header(), resume=True)


def test_an_existing_run_is_not_overwritten(tmp_path):
    with RunWriter(tmp_path, header()) as writer:
        writer.append(record())
    with pytest.raises(StoreError, match="add --resume"):
        RunWriter(tmp_path, header())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict(sweep="quick"), "another sweep"),
        (dict(cases=("x",)), "it has other cases"),
        (dict(seed=1), "seed 0, this run 1"),
        (
            dict(environment=Environment(device="cpu", device_name="t", must_match={"cpu": "y"})),
            "cpu was 'x' and is 'y'",
        ),
    ],
)
def test_resume_refuses_what_does_not_belong_together(tmp_path, changes, words):
    with RunWriter(tmp_path, header()) as writer:
        writer.append(record())
    with pytest.raises(StoreError, match=words):
        RunWriter(tmp_path, header(**changes), resume=True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("{}\n", "is not a run"),
        ("garbage\n", "is not a run"),
        ('{"schema": 99}\n', "schema 99"),
    ],
)
def test_files_that_are_no_runs_are_named(tmp_path, text, words):
    file = tmp_path / "run.jsonl"
    file.write_text(text)
    with pytest.raises(StoreError, match=words):
        read_run(file)


def test_a_full_disk_leaves_whole_lines(tmp_path, monkeypatch):
    with RunWriter(tmp_path, header()) as writer:
        writer.append(record())

        def full(_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(StoreError, match="No space left on device; what was finished is kept"):
            writer.append(record("b"))
    sizes = [len(line) for line in (tmp_path / "run.jsonl").read_bytes().splitlines()]
    assert len(sizes) == 2
    assert all(a != b for a, b in pairwise(sizes))
    assert not read_run(tmp_path).damaged


OLD = Path(__file__).parents[1] / "data" / "schema-1"


def test_a_run_of_schema_1_reads_as_one_of_today():
    old = [json.loads(line) for line in (OLD / "run.jsonl").read_text().splitlines()]
    run = read_run(OLD)
    assert not run.damaged
    assert run.header.environment.must_match == old[0]["environment"]["hard"]
    assert run.header.environment.informational == old[0]["environment"]["soft"]
    before = [line["measurement"].get("inside", "call") for line in old[1:] if "measurement" in line]
    assert before == [record.measurement.timed_region for record in run.records if record.measurement]


def test_a_run_of_schema_1_that_is_gone_on_with_holds_lines_of_both(tmp_path):
    lines = (OLD / "run.jsonl").read_text().splitlines()
    new = as_json(record("a", measurement=msgspec.structs.replace(TIMES, timed_region="bwd"))).decode()
    (tmp_path / "run.jsonl").write_text("\n".join([*lines, new]) + "\n")
    run = read_run(tmp_path)
    assert not run.damaged
    assert run.records[-1].measurement.timed_region == "bwd"
