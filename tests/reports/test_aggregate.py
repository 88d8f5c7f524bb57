import pytest
from synthetic import large

from attnbench.reports.aggregate import aggregated
from attnbench.reports.data import table
from attnbench.reports.html import render


@pytest.fixture(scope="module")
def rows():
    return table([large(4000, samples=5)])


def test_few_records_stay_as_they_are(rows):
    same, words = aggregated(rows, most=4000)
    assert words == ""
    assert list(same["median_ns"].dropna()) == list(rows["median_ns"].dropna())


def test_many_records_become_few_and_none_is_lost(rows):
    few, words = aggregated(rows, most=1000)
    assert len(few) <= 1000
    assert "4,000 records are too many" in words
    counted = sum(int(note[0].split()[0].replace(",", "")) for note in few["notes"])
    assert counted == len(rows)


def test_a_row_never_mixes_what_differs_and_keeps_the_worst_error(rows):
    few, _ = aggregated(rows, most=1000)
    counts = few["notes"].map(lambda note: int(note[0].split()[0].replace(",", "")))
    for name in ("status", "implementation", "dtype", "mask"):
        assert counts.groupby(few[name]).sum().to_dict() == rows[name].value_counts().to_dict()
    assert few["share_of_budget"].max() == rows["share_of_budget"].max()
    for name in ("median_ns", "low_ns", "high_ns"):
        assert few[name].min() >= rows[name].min()
        assert few[name].max() <= rows[name].max()


def test_the_repeat_command_names_a_real_case(rows):
    few, _ = aggregated(rows, most=1000)
    assert set(few["example"]) <= set(rows["case"])


def test_the_page_says_that_it_was_aggregated(monkeypatch):
    monkeypatch.setattr("attnbench.reports.payload.MOST_ROWS", 300)
    assert "are too many for one page" in render([large(800, samples=3)])
