"""How axes and batches are written: ranges, sizes, mixed requests."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnbench.bench.sweeps import SweepError, load_sweep
from attnbench.bench.sweeps.batches import Requests, parse_batch
from attnbench.bench.sweeps.limits import byte_count, seconds
from attnbench.bench.sweeps.readers import integers


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("128:16384:x2", (128, 256, 512, 1024, 2048, 4096, 8192, 16384)),
        ("1:9:+2", (1, 3, 5, 7, 9)),
        ("1:10:+4", (1, 5, 9)),
        ("100:1000:x3", (100, 300, 900)),
        ("3:5", (3, 4, 5)),
        ("7:7:x2", (7,)),
        ("1:128k:x2", tuple(2**i for i in range(18))),
        ("1k:3k:+1k", None),
        ("8k", (8192,)),
        ("1,4,8", (1, 4, 8)),
        ("1:3, 128:512:x2, 8k", (1, 2, 3, 128, 256, 512, 8192)),
        (512, (512,)),
        ([1, "2:4", ["8k"]], (1, 2, 3, 4, 8192)),
    ],
)
def test_the_ways_to_write_integers(text, values):
    if values is None:
        with pytest.raises(SweepError, match="expected START:END"):
            integers(text)
    else:
        assert integers(text) == values


@given(st.integers(1, 1000), st.integers(0, 100_000), st.integers(2, 9))
def test_a_growing_range_ends_at_the_last_value_that_fits(start, more, factor):
    values = integers(f"{start}:{start + more}:x{factor}")
    assert values[0] == start
    assert all(b == a * factor for a, b in pairwise(values))
    assert values[-1] <= start + more < values[-1] * factor


@given(st.integers(1, 1000), st.integers(0, 900), st.integers(1, 50))
def test_a_stepping_range_is_pythons_range_with_its_end(start, more, step):
    assert integers(f"{start}:{start + more}:+{step}") == tuple(range(start, start + more + 1, step))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "-1",
        "0",
        "1:0",
        "0:8:x2",
        "8:64:x1",
        "8:64:+0",
        "8:64:*2",
        "1:2:3:4",
        "8K",
        "1.5",
        "1,,2",
        True,
        None,
        2.5,
    ],
)
def test_what_is_no_integer_axis_is_refused(text):
    with pytest.raises(SweepError, match="expected"):
        integers(text)


@pytest.mark.parametrize(
    ("text", "requests"),
    [
        ("q2k", [(1, 2048, 2048)]),  # a prefill: the sequence is what is new
        ("q1s1k", [(1, 1, 1024)]),  # a decode: one token, the sequence of 1024 holds it
        ("8q1s1k", [(8, 1, 1024)]),
        ("q4s1k", [(1, 4, 1024)]),
        ("2q2k_32q1s1k", [(2, 2048, 2048), (32, 1, 1024)]),
        ("q256s1000", [(1, 256, 1000)]),
        ("8q1kv1k", [(8, 1, 1024)]),  # an earlier spelling of s
        ("q1kkv2k", [(1, 1024, 2048)]),
    ],
)
def test_batches_mean_what_serving_people_mean(text, requests):
    assert parse_batch(text) == tuple(Requests(*one) for one in requests)


@pytest.mark.parametrize(
    "text", ["", "q", "2x2k", "q2k_", "_q2k", "0q4", "q0", "q8s4", "q2ks1k", "q-1", "2q2k 32q1s1k", "s1k", "q2m"]
)
def test_what_is_no_batch_is_refused(text):
    with pytest.raises(SweepError, match="expected"):
        parse_batch(text)


def test_a_mixed_batch_is_one_packed_case_aligned_to_the_end_of_each_sequence():
    (case,) = load_sweep("options", {"batch_spec": "2q4s6_3q1s5"}).cases
    assert case.layout.spec == "packed:4x2/1x3:6x2/5x3"
    assert (case.batch, case.q_len, case.kv_len) == (1, 11, 27)
    # Causal: a prefill of 4 new tokens behind 2 old ones sees 3 + 4 + 5 + 6 keys, a decode all 5.
    assert case.pairs == 2 * 18 + 3 * 5


def test_a_mixed_batch_can_be_split_into_its_kinds():
    cases = load_sweep("options", {"batch_spec": "2q4s6_3q1s5_q4s6", "batch_as": "split"}).cases
    assert [(case.batch, case.q_len, case.kv_len) for case in cases] == [(3, 4, 6), (3, 1, 5)]
    assert sum(case.pairs for case in cases) == 3 * 18 + 3 * 5


def test_requests_of_one_kind_are_a_plain_batch():
    (case,) = load_sweep("options", {"batch_spec": "8q1s1k"}).cases
    assert case.id == "b8-h8-q1-k1024-d64-causal-fp32"


def test_memory_and_time():
    assert byte_count("4 GiB") == 4 * 2**30
    assert byte_count("1.5GB") == 1_500_000_000
    assert byte_count(512) == 512
    assert (seconds(30), seconds("30 s"), seconds("2 min")) == (30, 30, 120)
