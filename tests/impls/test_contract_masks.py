"""Masks: their counts against counting by hand, one pair at a time."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from attnbench.impls.contract import Blocks, Causal, Full, Prefix, Window, parse_mask

side = st.none() | st.integers(0, 30)
masks = st.one_of(
    st.just(Full()),
    st.just(Causal()),
    st.builds(Window, side, side),
    st.builds(Prefix, st.integers(0, 40)),
    st.builds(
        Blocks, st.integers(1, 9), st.integers(0, 4), st.integers(0, 4), st.integers(0, 5), causal=st.booleans()
    ),
)
lengths = st.integers(0, 40)
# Beyond the ends on both sides: rows that see nothing, and queries that stand after every key.
offsets = st.integers(-45, 60)


def seen_pairs(mask, queries, keys, offset):
    return [(i, j) for i in range(queries) for j in range(keys) if mask.visible(i + offset, j)]


@settings(max_examples=2000, deadline=None)
@given(masks, lengths, lengths, offsets)
@example(Blocks(4, 0, 0, 3, causal=False), 5, 9, -7)
@example(Blocks(4, 1, 1, 3, causal=True), 9, 6, 30)
@example(Blocks(10**15, 1, 0, 0, causal=False), 9, 6, -3)
def test_pairs_equal_a_count_by_hand(mask, queries, keys, offset):
    assert mask.pairs(queries, keys, offset) == len(seen_pairs(mask, queries, keys, offset))


@settings(max_examples=2000, deadline=None)
@given(masks, lengths, lengths, offsets)
def test_keys_seen_equal_a_count_by_hand(mask, queries, keys, offset):
    by_hand = {j for _, j in seen_pairs(mask, queries, keys, offset)}
    assert mask.keys_seen(queries, keys, offset) == len(by_hand)


@settings(max_examples=1000, deadline=None)
@given(masks, lengths, offsets)
def test_sees_any_is_whether_a_key_is_seen(mask, keys, position):
    assert mask.sees_any(position, keys) == any(mask.visible(position, j) for j in range(keys))


@settings(max_examples=1000, deadline=None)
@given(masks, lengths, offsets)
def test_nothing_is_seen_outside_the_key_range_and_its_ends_never_fall(mask, keys, position):
    low, high = mask.key_range(position, keys)
    assert all(low <= j < high for j in range(keys) if mask.visible(position, j))
    next_low, next_high = mask.key_range(position + 1, keys)
    assert next_low >= low
    assert next_high >= high


@given(masks)
def test_the_text_of_a_mask_reads_back(mask):
    assert parse_mask(mask.spec) == mask


@pytest.mark.parametrize(("queries", "keys"), [(7, 7), (3, 11), (11, 3), (1, 9), (9, 1)])
def test_causal_pairs_are_those_of_the_textbook(queries, keys):
    late = queries * keys - queries * (queries - 1) // 2
    expected = late if queries <= keys else keys * (keys + 1) // 2
    assert Causal().pairs(queries, keys, keys - queries) == expected


def test_a_sliding_window_counts_the_position_itself():
    # Eight queries, three keys each, but the first two see one and two: 21, where a slip in precedence gives 36.
    assert Window(2, 0).pairs(8, 8, 0) == 21


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("causl", "causl"),
        ("window:-1:0", "0 or more"),
        ("window:5", "window:LEFT:RIGHT"),
        ("prefix:-3", "0 keys or more"),
        ("blocks:0", "block size is 1 or more"),
        ("blocks:8:1:1:0:sideways", "causal|full"),
    ],
)
def test_a_wrong_mask_is_refused_with_what_was_expected(spec, told):
    with pytest.raises(ValueError) as refused:
        parse_mask(spec)
    assert told in str(refused.value)
