import random

import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import SPEEDS, Speed, Status, agreement, header, model_cases, shape

from attnbench.bench.records.schema import Measurement, Record, Run
from attnbench.impls.contract import Causal
from attnbench.reports.choices import choices, default_reference, ranked
from attnbench.reports.data import table

LENGTHS = (128, 256, 512, 1024)


def timed_run(times, *, wrong=(), spread=0.001, lengths=LENGTHS, heads=8):
    """A run over lengths: `times` maps a name to one time a length, None where it was not run."""
    rng, records = random.Random(0), []
    for place, n in enumerate(lengths):
        case = shape(heads, heads, 64, n, n, dtype="fp32", mask=Causal())
        for name, values in times.items():
            if values[place] is None:
                continue
            samples = tuple(values[place] * (1 + spread * k) for k in range(-5, 6))
            measured = Measurement(samples_ns=samples, calls=1, clock="perf_counter", cache="warm")
            bad = name in wrong
            records.append(
                Record(
                    case=case,
                    implementation=name,
                    status=Status.WRONG if bad else Status.PASSED,
                    reason="differs" if bad else "",
                    agreement=agreement(rng, case, share=9.0 if bad else None),
                    measurement=None if bad else measured,
                )
            )
    cases = [record.case for record in records]
    return Run(header=header(cases, times), records=tuple(records))


def chosen(run, reference=None):
    return [(c.implementation, c.lengths, c.ties) for c in choices(table([run]), reference)]


def test_a_crossing_gives_two_ranges():
    run = timed_run({"a": (100, 200, 900, 2000), "b": (200, 300, 500, 700)})
    assert chosen(run) == [("a", (128, 256), ()), ("b", (512, 1024), ())]


def test_a_wrong_one_is_never_chosen_however_fast():
    run = timed_run({"a": (100,) * 4, "b": (1,) * 4}, wrong={"b"})
    assert chosen(run) == [("a", LENGTHS, ())]


def test_overlapping_intervals_are_a_tie():
    run = timed_run({"a": (1000,) * 4, "b": (1001,) * 4, "c": (1100,) * 4})
    assert chosen(run) == [("a", LENGTHS, ("b",))]


def test_a_tie_does_not_cut_a_range():
    run = timed_run({"a": (100, 1001, 100, 100), "b": (200, 1000, 200, 200)})
    assert chosen(run) == [("a", LENGTHS, ())]


def test_who_can_not_do_every_case_is_not_chosen_for_all():
    run = timed_run({"a": (100, 100, 100, 100), "b": (10, None, None, None)})
    assert chosen(run) == [("b", (128,), ()), ("a", (256, 512, 1024), ())]


def test_who_did_only_some_cases_of_a_length_is_not_chosen_there():
    one = timed_run({"a": (100,) * 4, "b": (10,) * 4})
    other = timed_run({"a": (100,) * 4}, heads=16)
    both = Run(header=one.header, records=one.records + other.records)
    ((name, lengths, ties),) = chosen(both)
    assert (name, lengths, ties) == ("a", LENGTHS, ())
    assert choices(table([both]), None)[0].behind == pytest.approx(10)


def test_the_gain_is_the_geometric_mean_with_its_extremes():
    run = timed_run({"a": (100, 100, 100, 100), "b": (200, 200, 800, 800)})
    (choice,) = choices(table([run]), "b")
    assert choice.gain.mean == pytest.approx(4.0)
    assert (choice.gain.least, choice.gain.most) == pytest.approx((2.0, 8.0))


def test_the_reference_is_who_did_most():
    run = timed_run({"a": (1, None, 1, 1), "b": (2, 2, 2, 2), "c": (3, 3, 3, 3)})
    assert default_reference(table([run]), ["a", "c", "b"]) == "c"


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.integers(10, 10_000), min_size=3, max_size=3), min_size=1, max_size=4))
def test_rank_nought_is_the_smallest_median_of_the_right_ones(times):
    run = timed_run({f"i{k}": values for k, values in enumerate(times)}, wrong={"i1"}, lengths=LENGTHS[:3])
    rows = ranked(table([run]))
    right = [values for k, values in enumerate(times) if k != 1]
    best = rows[rows["rank"] == 0].sort_values("length")["median_ns"].to_numpy()
    assert np.allclose(best, np.array(right).min(axis=0))
    assert (rows["behind"] >= 1).all()


def test_nothing_timed_gives_no_choice():
    run = Run(header=header(model_cases()[:1], ["x"]), records=())
    assert choices(table([run]), None) == []
    assert isinstance(ranked(table([run])), pd.DataFrame)
    assert Speed("x", 1, 1) not in SPEEDS


def test_who_fails_on_some_inputs_is_fastest_only_where_no_other_is_left():
    case, draw = shape(4, 4, 64, 128, 128, mask=Causal()), random.Random(0)
    limited = agreement(draw, case)
    sound = msgspec.structs.replace(limited, comparisons=limited.comparisons[:3], known_limits=())
    fast = Record(
        case=case,
        implementation="fast_but_limited",
        status=Status.PASSED,
        agreement=limited,
        measurement=Measurement(samples_ns=(1.0,) * 9, calls=1, clock="perf_counter", cache="warm"),
    )
    slow = Record(
        case=case,
        implementation="slow_and_sound",
        status=Status.PASSED,
        agreement=sound,
        measurement=Measurement(samples_ns=(9.0,) * 9, calls=1, clock="perf_counter", cache="warm"),
    )

    def best(*records):
        names = [record.implementation for record in records]
        rows = table([Run(header=header([case], names), records=records)])
        ranks = ranked(rows)
        (choice,) = choices(rows, None)
        return ranks.loc[ranks["rank"] == 0, "implementation"].item(), choice.implementation, choice.ties

    assert best(fast, slow) == ("slow_and_sound", "slow_and_sound", ())
    assert best(fast) == ("fast_but_limited", "fast_but_limited", ())
