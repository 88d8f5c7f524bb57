import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnbench.bench.units import SCALES, digits, interval, length, listed, show

positive = st.floats(min_value=1e-12, max_value=1e18)


@given(positive)
def test_three_digits_are_within_half_of_the_last(value):
    assert float(digits(value)) == pytest.approx(value, rel=0.0051)


@given(st.floats(min_value=1e-3, max_value=999_000))
def test_three_digits_and_no_exponent_between_a_thousandth_and_a_million(value):
    text = digits(value)
    assert "e" not in text
    assert len(text.replace(".", "").lstrip("0")) >= 3


@given(positive, st.sampled_from(sorted(SCALES)))
def test_a_number_with_its_unit_reads_back(value, kind):
    text = show(value, kind)
    number, _, unit = text.partition(" ")
    number, unit = (number.removesuffix("x"), "x") if kind == "ratio" else (number, unit)
    size = {unit: size for size, unit in SCALES[kind]}[unit]
    assert float(number) * size == pytest.approx(value, rel=0.0051)


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (999.6, "time", "1.00 µs"),
        (1_234_567, "time", "1.23 ms"),
        (1.5 * 2**20, "bytes", "1.50 MiB"),
        (0.0605, "rate", "60.5 GFLOP/s"),
        (3.1, "ratio", "3.10x"),
        (None, "time", "–"),
        (math.nan, "time", "–"),
        (math.inf, "plain", "∞"),
        (0.0, "plain", "0"),
        (1e300, "plain", "1.00e300"),
        (2.0**30, "bytes", "1.00 GiB"),
        (1_125_000, "time", "1.13 ms"),
        (-2e-7, "plain", "-2.00e-7"),
    ],
)
def test_examples(value, kind, text):
    assert show(value, kind) == text


def test_an_interval_has_one_unit():
    assert interval(999_000, 1_270_000, "time") == "0.999 to 1.27 ms"
    assert interval(None, 1.0, "time") == "–"


def test_lengths_are_exact():
    assert [length(n) for n in (1, 512, 1000, 1024, 1536, 4096, 5000, 2**20)] == [
        "1", "512", "1000", "1k", "1.5k", "4k", "5000", "1M",
    ]  # fmt: skip


def test_lists_read_as_sentences():
    assert [listed(list(text)) for text in ("", "a", "ab", "abc")] == ["", "a", "a and b", "a, b and c"]
