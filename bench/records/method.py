"""Which version of this project's method made a result: stored results of two versions are not compared.

A number is raised when a change makes times, errors or budgets of the same kernel come out
differently; a reworded docstring, a renamed variable or a faster program is no such change.
``tests/bench/test_method.py`` notices changed code and asks which of the two it was.

Measuring:

1. Samples of short calls begin with one untimed call.
2. They begin with a whole untimed turn of both input sets; work between rounds is shared by all threads.

Judging (reference, budgets, properties, side effects):

1. Budgets from one low-precision reference.
2. Budgets from the worse of two, and never below four standard deviations of first-order rounding variance.
3. Relative L2 errors by band of rows, head and batch row.
4. Budgets of a softcap grant its own float32 error, about `cap * eps`; reading padding is a verdict of its own;
   declared conventions change the reference.
"""

MEASURING = 2
JUDGING = 4


def method() -> str:
    """Both versions, as a machine's facts hold them."""
    return f"measuring {MEASURING}, judging {JUDGING}"
