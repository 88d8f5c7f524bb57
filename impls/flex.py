"""FlexAttention: score and mask functions compiled into one kernel.

Source: Dong et al. (2024), arXiv:2412.05496; ``torch.nn.attention.flex_attention``.
The mask function becomes a BlockMask, outside the timed region and kept by mask,
layout and lengths, as a model keeps it for all its layers. A sink is applied to
the output through the LSE, as Transformers does. Costs: tiles of 128 x 128 that
the BlockMask hides are skipped; no score matrix, but in ``flex_eager``.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from attnbench.impls.contract import (
    EVERYTHING,
    Call,
    Case,
    Dense,
    Full,
    Implementation,
    Inputs,
    Outputs,
    Packed,
    Padded,
)
from attnbench.impls.contract.tensors import dense_kv

FEATURES = EVERYTHING - {"paged"}
MOST_COMPILED = 1 << 20
"""Kernels that one process may compile; torch stops at 8 and would go on without a compiler."""

Mod = Callable[..., Tensor]


@lru_cache(maxsize=64)
def block_mask(case: Case, device: torch.device) -> Any:
    """The BlockMask of `case` (give one that only says mask, layout and lengths); None where all is visible."""
    from torch.nn.attention.flex_attention import create_block_mask

    if isinstance(case.mask, Full) and isinstance(case.layout, Dense):
        return None
    rows = None if isinstance(case.layout, Dense | Packed) else case.batch
    return create_block_mask(mask_mod(case, device), rows, None, case.q_len, case.kv_len, device=device)


def mask_mod(case: Case, device: torch.device) -> Mod:
    """Whether query i of row b sees key j."""
    offset, rule = case.kv_len - case.q_len, case.mask.visible
    if isinstance(case.layout, Dense):
        return lambda b, h, i, j: rule(i + offset, j)
    if isinstance(case.layout, Packed):
        position, query_document, place, key_document = _documents(case, device)
        return lambda b, h, i, j: (query_document[i] == key_document[j]) & rule(position[i], place[j])
    lengths = torch.tensor([segment.k_len for segment in case.segments], device=device)
    if isinstance(case.layout, Padded):
        return lambda b, h, i, j: (j < lengths[b]) & rule(i + offset, j)
    q_len = case.q_len
    return lambda b, h, i, j: (j < lengths[b]) & rule(i + lengths[b] - q_len, j)


def _documents(case: Case, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Position and document of each query ``[M]``, place and document of each key ``[N]``."""
    parts: tuple[list[Tensor], ...] = ([], [], [], [])
    for document, (_, _, q_len, _, k_len, offset) in enumerate(case.segments):
        found = (
            torch.arange(q_len) + offset,
            torch.full((q_len,), document),
            torch.arange(k_len),
            torch.full((k_len,), document),
        )
        for part, values in zip(parts, found, strict=True):
            part.append(values)
    position, query_document, place, key_document = (torch.cat(part).to(device) for part in parts)
    return position, query_document, place, key_document


def score_mod(inputs: Inputs) -> Mod | None:
    """What happens to a scaled score: softcap, then bias; None where nothing does."""
    case, cap, bias, slopes = inputs.case, inputs.case.softcap, inputs.bias, inputs.alibi_slopes
    if bias is not None:

        def added(score: Tensor, b: Tensor, h: Tensor, i: Tensor, j: Tensor) -> Tensor:
            return score + bias[b, h, i, j]
    elif slopes is not None:
        added = _alibi(case, slopes)
    elif cap is None:
        return None
    else:

        def added(score: Tensor, b: Tensor, h: Tensor, i: Tensor, j: Tensor) -> Tensor:
            return score

    if cap is None:
        return added
    limit = cap
    return lambda score, b, h, i, j: added(limit * torch.tanh(score / limit), b, h, i, j)


def _alibi(case: Case, slopes: Tensor) -> Mod:
    offset = case.kv_len - case.q_len
    if isinstance(case.layout, Packed):
        position, _, place, _ = _documents(case, slopes.device)
        return lambda score, b, h, i, j: score - slopes[h] * (position[i] - place[j]).abs()
    if isinstance(case.layout, Dense | Padded):
        return lambda score, b, h, i, j: score - slopes[h] * (i + offset - j).abs()
    offsets = torch.tensor([segment.offset for segment in case.segments], device=slopes.device)
    return lambda score, b, h, i, j: score - slopes[h] * (i + offsets[b] - j).abs()


def _geometry(case: Case) -> Case:
    """`case` with nothing left that does not decide its mask, so that masks are shared."""
    return Case(
        batch=case.batch, q_heads=1, kv_heads=1, q_len=case.q_len, kv_len=case.kv_len,
        head_dim=1, v_head_dim=1, mask=case.mask, layout=case.layout,
    )  # fmt: skip


def preparing(attend: Callable[[], Callable[..., Any]]) -> Callable[[Inputs], Call]:
    """`prepare` for the function that `attend` gives: flex_attention, compiled or not."""

    def prepare(inputs: Inputs) -> Call:
        """The BlockMask and the score function are made once."""
        from torch.nn.attention.flex_attention import AuxRequest

        case, flex = inputs.case, attend()
        k, v = dense_kv(inputs)
        keywords = {
            "score_mod": score_mod(inputs),
            "block_mask": block_mask(_geometry(case), inputs.q.device),
            "scale": case.scale,
            "enable_gqa": case.groups > 1,
        }
        if inputs.sinks is None:
            return lambda: Outputs(flex(inputs.q, k, v, **keywords))
        sinks = inputs.sinks[:, None]

        def with_sinks() -> Outputs:
            out, aux = flex(inputs.q, k, v, **keywords, return_aux=AuxRequest(lse=True))
            share = torch.sigmoid(aux.lse - sinks)[..., None]
            return Outputs((out * share).to(out.dtype), torch.logaddexp(aux.lse, sinks))

        return with_sinks

    return prepare


@lru_cache(maxsize=1)
def compiled() -> Callable[..., Any]:
    """flex_attention under torch.compile, for exactly the shapes that come; a graph break is an error."""
    from torch.nn.attention.flex_attention import flex_attention

    attend: Callable[..., Any] = torch.compile(flex_attention, dynamic=False, fullgraph=True)
    return attend


def eager() -> Callable[..., Any]:
    """flex_attention as it is."""
    from torch.nn.attention.flex_attention import flex_attention

    return flex_attention


@contextmanager
def compiling() -> Iterator[None]:
    """Room for every case's own kernel: past torch's limit it would run uncompiled."""
    import torch._dynamo.config as dynamo  # its values are set by attribute alone

    with dynamo.patch(recompile_limit=MOST_COMPILED, accumulated_recompile_limit=MOST_COMPILED):
        yield


@contextmanager
def quiet() -> Iterator[None]:
    """Without torch's advice to compile, since not compiling is the point."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="flex_attention called without torch.compile")
        yield


def _refuses(case: Case, device: str) -> str | None:
    if device == "cpu" and case.direction != "fwd":
        return "FlexAttention does not support backward on CPU (torch's own words)"
    return None


def _compiled_refuses(case: Case, device: str) -> str | None:
    if device == "cpu" and case.sinks:
        return "sinks need the LSE, and torch.compile on CPU says of it: `return_lse` is not supported yet"
    return _refuses(case, device)


POISON = {"poison": "inside a tile that is not hidden whole, a hidden value gets weight 0, and 0 times NaN is NaN"}
DEBUGGING = "uncompiled FlexAttention is for debugging: torch computes and keeps the whole score matrix"

IMPLS = (
    Implementation(
        name="flex",
        compiled=True,
        summary="FlexAttention, compiled; BlockMask and score function made once",
        prepare=preparing(compiled),
        features=FEATURES,
        refuses=_compiled_refuses,
        context=compiling,
        known_limits=POISON,
    ),
    Implementation(
        name="flex_eager",
        summary="FlexAttention, not compiled: for agreement only",
        prepare=preparing(eager),
        features=FEATURES,
        refuses=_refuses,
        context=quiet,
        known_limits=POISON,
        never_timed={"cpu": DEBUGGING, "cuda": DEBUGGING},
    ),
)
