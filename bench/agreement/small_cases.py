"""Lighter cases that keep what a case is about: mask, layout, grouping and dtype."""

import msgspec

from attnbench.impls.contract import Case, Dense, Implementation

PROBE_HEADS = 2
PROBE_SCORES = 1 << 20
"""Cases with more scores than this run the special families on fewer heads and rows of the batch."""

SMALL_SCORES = 1 << 19
SMALL_LENGTH = 256
"""Properties and side effects are tried on cases of about this size."""


def probe(case: Case) -> Case:
    """`case` with fewer heads and batch rows where it has many scores; lengths, mask and grouping stay."""
    return _lighter(case, PROBE_HEADS) if _scores(case) > PROBE_SCORES else case


def small(case: Case, implementation: Implementation, device: str) -> Case:
    """`case` with few heads, and shorter where it is dense and long; itself where that is refused."""
    if case.strides == "shared":  # tensors with stride 0 can't be given new values in place
        case = msgspec.structs.replace(case, strides="bhmd")
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
