"""The values of a case as tensors: the steps that several implementations share.

Not an implementation. Everything here is plain torch on the device of its
arguments and makes no choice between backends.
"""

import torch
from torch import Tensor

from attnbench.impls.contract import Cache, Case, Inputs, Paged

TORCH_DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}


def visible(case: Case, device: torch.device | str = "cpu") -> Tensor:
    """Which key each query sees: bool ``[B or 1, 1, M, N]`` (N is kv_len, also for caches)."""
    segments = case.segments
    same = all(segment[1:] == segments[0][1:] for segment in segments)
    rows = 1 if same else case.batch
    seen = torch.zeros(rows, 1, case.q_len, case.kv_len, dtype=torch.bool, device=device)
    for segment in segments[:1] if same else segments:
        row, q_start, q_len, k_start, k_len, offset = segment
        position = torch.arange(q_len, device=device)[:, None] + offset
        key = torch.arange(k_len, device=device)[None, :]
        seen[row, 0, q_start : q_start + q_len, k_start : k_start + k_len] = case.mask.visible(position, key)
    return seen


def has_empty_rows(case: Case) -> bool:
    """Whether some query sees no key."""
    return case.has_empty_rows


def dense_kv(inputs: Inputs) -> tuple[Tensor, Tensor]:
    """Keys and values as ``[B, Hkv, kv_len, D]``: a view, or a gather where they lie in pages."""
    case = inputs.case
    if isinstance(case.layout, Cache):
        return inputs.k[:, :, : case.kv_len], inputs.v[:, :, : case.kv_len]
    if not isinstance(case.layout, Paged):
        return inputs.k, inputs.v
    table = inputs.block_table
    assert table is not None, "a paged case comes with a block table"
    return _gather_pages(inputs.k, table, case.kv_len), _gather_pages(inputs.v, table, case.kv_len)


def _gather_pages(pool: Tensor, table: Tensor, kv_len: int) -> Tensor:
    """``[pages, Hkv, page, D]`` read through ``[B, pages a row]`` as ``[B, Hkv, kv_len, D]``."""
    rows = pool[table.long()]
    return rows.transpose(1, 2).flatten(2, 3)[:, :, :kv_len]


def repeat_heads(x: Tensor, groups: int) -> Tensor:
    """Each key/value head `groups` times, side by side: ``[B, Hkv, N, D]`` to ``[B, Hq, N, D]``."""
    return x if groups == 1 else x.repeat_interleave(groups, dim=1)


def alibi(slopes: Tensor, case: Case) -> Tensor:
    """ALiBi's ``-slope * |position - key|``: float32 ``[B or 1, Hq, M, N]``."""
    segments = case.segments
    distance = torch.zeros(case.batch, 1, case.q_len, case.kv_len, device=slopes.device)
    for row, q_start, q_len, k_start, k_len, offset in segments:
        position = torch.arange(q_len, device=slopes.device)[:, None] + offset
        key = torch.arange(k_len, device=slopes.device)[None, :]
        distance[row, 0, q_start : q_start + q_len, k_start : k_start + k_len] = (position - key).abs().float()
    return -slopes[None, :, None, None] * distance


def score_bias(inputs: Inputs) -> Tensor | None:
    """What is added to the scores before the mask, in the dtype of q: ``[B or 1, Hq, M, N]`` or None."""
    if inputs.bias is not None:
        return inputs.bias
    if inputs.alibi_slopes is not None:
        return alibi(inputs.alibi_slopes, inputs.case).to(inputs.q.dtype)
    return None


def adjusted(scores: Tensor, softcap: float | None, bias: Tensor | None) -> Tensor:
    """Scaled scores after softcap (``cap * tanh(s / cap)``, Gemma-2) and bias."""
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    return scores if bias is None else scores + bias


def softmax(scores: Tensor, sinks: Tensor | None) -> Tensor:
    """Softmax over the keys; a sink is one more logit a row that has no value (gpt-oss)."""
    if sinks is None:
        return torch.softmax(scores, dim=-1)
    column = sinks.to(scores.dtype)[None, :, None, None].expand(*scores.shape[:3], 1)
    return torch.softmax(torch.cat([scores, column], dim=-1), dim=-1)[..., :-1]


def dropped(weights: Tensor, probability: float) -> Tensor:
    """Weights after dropout with torch's own generator: some become 0, the others grow by ``1 / (1 - p)``."""
    return weights if not probability else torch.nn.functional.dropout(weights, probability, training=True)


def rows_first(x: Tensor) -> Tensor:
    """``[B, H, N, D]`` as a contiguous ``[B, N, H, D]``, what a projection gives and most packages take."""
    return x.transpose(1, 2).contiguous()
