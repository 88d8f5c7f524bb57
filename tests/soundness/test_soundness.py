"""A slice of ``python -m tests.soundness.run``: honest variants are never called wrong."""

import pytest

from attnbench.impls.contract import parse_case
from tests.soundness.run import judge
from tests.soundness.strangers import CASES as MORE_CASES
from tests.soundness.strangers import EVERYTHING, SPELLINGS, strangers
from tests.soundness.variants import CASES, VARIANTS

STRANGERS = (*EVERYTHING, *SPELLINGS)


@pytest.mark.parametrize("case", CASES)
def test_honest_variants_are_never_called_wrong(case):
    place = CASES.index(case)
    slice_of = list(VARIANTS.values())[place % 4 :: 4]
    for judged in judge(slice_of, [case], [100 + place]):
        assert judged.agreement.ok, str(judged)


@pytest.mark.parametrize("place", range(len(STRANGERS)), ids=lambda place: STRANGERS[place].rpartition("/")[2])
def test_kernels_of_strangers_are_never_called_wrong(place):
    kernel = strangers()[place]
    cases = [case for case in (*MORE_CASES, *CASES) if kernel.supports(parse_case(case), "cpu") is None]
    count = 0
    for judged in judge([kernel], cases[place % 6 :: 8], [200 + place]):
        assert judged.agreement.ok, str(judged)
        count += 1
    assert count


def test_kernels_that_declare_everything_do_every_case():
    for kernel in strangers()[: len(EVERYTHING)]:
        assert all(kernel.supports(parse_case(case), "cpu") is None for case in (*MORE_CASES, *CASES))
