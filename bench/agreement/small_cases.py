"""Lighter cases that keep what a case is about: mask, layout, grouping and dtype."""

import msgspec

from attnbench.impls.contract import Case, Dense, Implementation

PROBE_HEADS = 2
PROBE_SCORES = 1 << 20
"""Cases with more scores than this run the special families on fewer heads and rows of the batch."""

SMALL_SCORES = 1 << 19
SMALL_LENGTH = 256
"""Properties and side effects are tried on cases of about this size."""


INTERPRETED_LENGTH = 80
INTERPRETED_HEADS = 2
"""Triton's interpreter takes a tenth of a second for a tile: two tiles, two heads, groups of two."""


def for_interpreter(case: Case) -> Case:
    """`case` small enough for Triton's interpreter; lengths that a layout fixes stay, and the order of M and N."""
    groups = min(case.groups, INTERPRETED_HEADS)
    kv_heads = min(case.kv_heads, INTERPRETED_HEADS)
    case = msgspec.structs.replace(case, kv_heads=kv_heads, q_heads=kv_heads * groups)
    if not isinstance(case.layout, Dense) or max(case.q_len, case.kv_len) <= INTERPRETED_LENGTH:
        return case
    q_len, kv_len = (min(length, INTERPRETED_LENGTH) for length in (case.q_len, case.kv_len))
    if (q_len == kv_len) != (case.q_len == case.kv_len):
        q_len, kv_len = (q_len // 2, kv_len) if case.q_len < case.kv_len else (q_len, kv_len // 2)
    return msgspec.structs.replace(case, q_len=q_len, kv_len=kv_len)


def probe(case: Case) -> Case:
    """`case` with fewer heads and batch rows where it has many scores; lengths, mask and grouping stay."""
    return _lighter(case, PROBE_HEADS) if _scores(case) > PROBE_SCORES else case


def small(case: Case, implementation: Implementation, device: str) -> Case:
    """`case` with few heads, and shorter where it is dense and long; itself where that is refused."""
    lighter = _lighter(case, PROBE_HEADS)
    if isinstance(case.layout, Dense) and _scores(lighter) > SMALL_SCORES:
        lighter = _shorter(lighter)
    return case if implementation.supports(lighter, device) else lighter


def _scores(case: Case) -> int:
    return case.batch * case.q_heads * case.q_len * case.kv_len


def _lighter(case: Case, kv_heads: int) -> Case:
    kv_heads = min(case.kv_heads, kv_heads)
    batch = case.batch if not isinstance(case.layout, Dense) else 1
    return msgspec.structs.replace(case, batch=batch, kv_heads=kv_heads, q_heads=kv_heads * case.groups)


def _shorter(case: Case) -> Case:
    """Square cases stay square, the others keep their keys."""
    if case.q_len == case.kv_len:
        return msgspec.structs.replace(case, q_len=SMALL_LENGTH, kv_len=SMALL_LENGTH)
    queries = max(1, SMALL_SCORES // (case.q_heads * case.kv_len))
    return msgspec.structs.replace(case, q_len=min(case.q_len, queries))
