"""FlashInfer: ragged prefill, and decode over pages, each planned outside of what is timed.

Source: Ye et al. (2025), arXiv:2501.01005; flashinfer 0.7, ``prefill.py`` and
``decode.py``. Written against its signatures; on the machines that build this
project it can't run. Prefill takes tokens ``[tokens, H, D]``, made while
preparing, and a batch of equal rows is as many requests. Decode reads this
project's pages as they are (its ``HND`` layout). Its output is handed back as a
view. Kernels are compiled while planning or on the first call.
"""

from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from attnbench.impls.contract import Call, Case, Full, Implementation, Inputs, Outputs, Paged, Requirement, Window
from attnbench.impls.contract.tensors import has_empty_rows, rows_first

SCORES = frozenset({"causal", "window", "gqa", "scale", "softcap", "strided", "q_len != kv_len"})
WORKSPACE_BYTES = 128 << 20
"""What its documentation recommends; zeros, as it asks for."""


def workspace(device: torch.device) -> Tensor:
    """Scratch memory for one wrapper."""
    return torch.zeros(WORKSPACE_BYTES, dtype=torch.uint8, device=device)


def keywords(inputs: Inputs) -> dict[str, Any]:
    """What both plans take alike."""
    case = inputs.case
    left = case.mask.left if isinstance(case.mask, Window) else None
    return {
        "window_left": -1 if left is None else left,
        "logits_soft_cap": case.softcap,
        "sm_scale": case.score_scale,
        "q_data_type": inputs.q.dtype,
        "kv_data_type": inputs.k.dtype,
    }


def starts(lengths: list[int], device: torch.device) -> Tensor:
    """Where each run begins, and the end: int32 ``[len + 1]``."""
    return torch.tensor([0, *accumulate(lengths)], dtype=torch.int32, device=device)


def prepare_prefill(inputs: Inputs) -> Call:
    """Plan once for all layers, as a server does."""
    from flashinfer import BatchPrefillWithRaggedKVCacheWrapper

    case, device = inputs.case, inputs.q.device
    wrapper = BatchPrefillWithRaggedKVCacheWrapper(workspace(device), "NHD")
    wrapper.plan(
        starts([s.q_len for s in case.segments], device),
        starts([s.k_len for s in case.segments], device),
        case.q_heads,
        case.kv_heads,
        case.head_dim,
        causal=not isinstance(case.mask, Full),
        **keywords(inputs),
    )
    q, k, v = (rows_first(x).flatten(0, 1) for x in (inputs.q, inputs.k, inputs.v))
    return lambda: Outputs(wrapper.run(q, k, v).unflatten(0, (case.batch, case.q_len)).transpose(1, 2))


def page_table(case: Case, table: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where each row's pages begin ``[B + 1]``, the pages of all rows, the keys in each last page ``[B]``."""
    assert isinstance(case.layout, Paged), "asked for paged cases alone"
    page, fills = case.layout.page, case.layout.fills
    counts = [-(-fill // page) for fill in fills]
    pages = torch.cat([row[:count] for row, count in zip(table, counts, strict=True)])
    last = [fill - (count - 1) * page for fill, count in zip(fills, counts, strict=True)]
    return starts(counts, table.device), pages, torch.tensor(last, dtype=torch.int32, device=table.device)


def prepare_decode(inputs: Inputs) -> Call:
    """Plan once for all layers, as a server does."""
    from flashinfer import BatchDecodeWithPagedKVCacheWrapper

    case = inputs.case
    assert isinstance(case.layout, Paged), "other layouts are refused"
    assert inputs.block_table is not None, "a paged case comes with a block table"
    wrapper = BatchDecodeWithPagedKVCacheWrapper(workspace(inputs.q.device), "HND")
    table = page_table(case, inputs.block_table)
    heads = (case.q_heads, case.kv_heads, case.head_dim, case.layout.page)
    wrapper.plan(*table, *heads, **keywords(inputs))
    q, cache = inputs.q[:, :, 0].contiguous(), (inputs.k, inputs.v)
    return lambda: Outputs(wrapper.run(q, cache)[:, :, None])


def _refuses(case: Case, device: str) -> str | None:
    if case.v_head_dim != case.head_dim or case.head_dim not in (64, 128, 256):
        return "takes a head_dim of 64, 128 or 256, the same for q, k and v"
    if isinstance(case.mask, Window) and case.mask.right != 0:
        return "takes a window that ends at the query's own position"
    return "what a query without keys gives is not documented" if has_empty_rows(case) else None


def _decode_refuses(case: Case, device: str) -> str | None:
    if not isinstance(case.layout, Paged) or case.q_len != 1:
        return "is decode over pages: it needs q_len 1 and a layout paged:PAGE:FILLS"
    return _refuses(case, device)


_REQUIRES = (Requirement("flashinfer_python", ">=0.6", "pip install flashinfer-python", "flashinfer"),)

IMPLS = (
    Implementation(
        name="flashinfer",
        summary="FlashInfer, ragged prefill",
        prepare=prepare_prefill,
        features=SCORES | {"packed"},
        devices=("cuda",),
        dtypes=("fp16", "bf16"),
        requires=_REQUIRES,
        refuses=_refuses,
        remark="planned, and tokens put into [tokens, H, D], before the clock started; nothing is converted inside",
    ),
    Implementation(
        name="flashinfer_decode",
        summary="FlashInfer, decode over pages",
        prepare=prepare_decode,
        features=SCORES | {"paged"},
        devices=("cuda",),
        dtypes=("fp16", "bf16"),
        requires=_REQUIRES,
        refuses=_decode_refuses,
        remark="planned before the clock started; pages are read as they are",
    ),
)
