"""A slice of ``python -m tests.soundness.run``: honest variants are never called wrong."""

import pytest

from tests.soundness.run import judge
from tests.soundness.variants import CASES, VARIANTS


@pytest.mark.parametrize("case", CASES)
def test_honest_variants_are_never_called_wrong(case):
    place = CASES.index(case)
    slice_of = list(VARIANTS.values())[place % 4 :: 4]
    for judged in judge(slice_of, [case], [100 + place]):
        assert judged.agreement.ok, str(judged)
