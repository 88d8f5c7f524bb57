"""One step over a key/value cache: write the new keys at their places, read what is filled, attend.

Source: meta-llama/llama, ``llama/model.py``, ``Attention.forward``: a cache
``[B, capacity, Hkv, D]``, one ``start_pos`` for the whole batch, K and V
repeated for grouped heads, softmax in float32. ``kv_cache_sdpa`` gives the same
cache to SDPA, and writes rows of different fill each at its own place.

**The write is part of the call**, and of its time: a decode step can't be had
without it. It goes into a cache of this file's own, made while preparing, in
which the places of the new keys are zeroed: a call that forgot to write would
be wrong. Costs: a copy of the whole prefix for each group of heads (LLaMA), or
none (SDPA); nothing beyond the longest fill is read.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from attnbench.impls.contract import Cache, Call, Case, Implementation, Inputs, Outputs
from attnbench.impls.contract.tensors import repeat_heads, visible

FEATURES = frozenset({
    "cache", "causal", "window", "prefix", "blocks", "gqa", "q_len != kv_len", "v_head_dim", "scale", "strided",
})  # fmt: skip


@dataclass(frozen=True)
class Step:
    """A cache ``[B, capacity, Hkv, D]`` that lacks the newest keys, and these ``[B, M, Hkv, D]``.

    `places` ``[B, M]`` are where they belong; `start_pos` is the first of them
    where all rows agree, else None.
    """

    cache_k: Tensor
    cache_v: Tensor
    new_k: Tensor
    new_v: Tensor
    places: Tensor
    start_pos: int | None


def step_of(inputs: Inputs) -> Step:
    """Split the cache of `inputs` into what was there before this step and what it brings."""
    case, device = inputs.case, inputs.q.device
    fills = torch.tensor([segment.k_len for segment in case.segments], device=device)
    places = fills[:, None] - case.q_len + torch.arange(case.q_len, device=device)
    rows = torch.arange(case.batch, device=device)[:, None]
    cache_k, cache_v = (
        x.detach().transpose(1, 2).clone(memory_format=torch.contiguous_format) for x in (inputs.k, inputs.v)
    )
    new_k, new_v = cache_k[rows, places], cache_v[rows, places]
    cache_k[rows, places] = cache_v[rows, places] = 0
    start_pos = int(places[0, 0]) if bool((fills == fills[0]).all()) else None
    return Step(cache_k, cache_v, new_k, new_v, places, start_pos)


def hidden_of(case: Case, device: torch.device) -> Tensor | None:
    """What is hidden of the filled keys ``[B or 1, 1, M, N]``; None where nothing is."""
    hidden = ~visible(case, device)
    return hidden if bool(hidden.any()) else None


def prepare_llama(inputs: Inputs) -> Call:
    """The 0 / -inf matrix is built once for all layers, as the model's forward does."""
    case, q, step = inputs.case, inputs.q, step_of(inputs)
    hidden, start = hidden_of(case, q.device), step.start_pos
    assert start is not None, "ragged fills are refused"
    end = start + case.q_len
    mask = None if hidden is None else torch.zeros_like(hidden, dtype=q.dtype).masked_fill(hidden, -torch.inf)

    def call() -> Outputs:
        step.cache_k[:, start:end] = step.new_k
        step.cache_v[:, start:end] = step.new_v
        k, v = (repeat_heads(cache[:, :end].transpose(1, 2), case.groups) for cache in (step.cache_k, step.cache_v))
        scores = q @ k.transpose(2, 3) * case.score_scale
        if mask is not None:
            scores = scores + mask
        return Outputs(F.softmax(scores.float(), dim=-1).type_as(q) @ v)

    return call


def prepare_sdpa(inputs: Inputs) -> Call:
    """The mask, and where each row writes, are made once."""
    case, q, step = inputs.case, inputs.q, step_of(inputs)
    hidden = hidden_of(case, q.device)
    seen = None if hidden is None else ~hidden
    rows = torch.arange(case.batch, device=q.device)[:, None]

    def call() -> Outputs:
        step.cache_k[rows, step.places] = step.new_k
        step.cache_v[rows, step.places] = step.new_v
        k, v = (cache[:, : case.kv_len].transpose(1, 2) for cache in (step.cache_k, step.cache_v))
        gqa = case.groups > 1
        return Outputs(F.scaled_dot_product_attention(q, k, v, attn_mask=seen, scale=case.scale, enable_gqa=gqa))

    return call


def _refuses(case: Case, device: str) -> str | None:
    if not isinstance(case.layout, Cache):
        return "is a step over a cache: it needs a layout cache:CAPACITY:FILLS"
    if case.q_len > min(case.layout.fills):
        return "the queries are the newest of the filled keys: q_len is over a fill"
    return None


def _llama_refuses(case: Case, device: str) -> str | None:
    if reason := _refuses(case, device):
        return reason
    if isinstance(case.layout, Cache) and len(set(case.layout.fills)) > 1:
        return "start_pos is one number for the whole batch: it can't do rows of different fill"
    return None if not _some_row_is_empty(case) else "a query that sees no key gives NaN in this form"


def _some_row_is_empty(case: Case) -> bool:
    return any(
        not case.mask.sees_any(i + segment.offset, segment.k_len)
        for segment in case.segments
        for i in range(segment.q_len)
    )


def _variant(
    name: str, summary: str, prepare: Callable[[Inputs], Call], refuses: Callable[[Case, str], str | None],
    limits: dict[str, str],
) -> Implementation:  # fmt: skip
    return Implementation(
        name=name, summary=summary, prepare=prepare, features=FEATURES, refuses=refuses, known_limits=limits
    )


RAGGED = {"poison": "where rows differ in fill, a mask hides keys by weight 0, and 0 times NaN is NaN"}

IMPLS = (
    _variant("kv_cache", "LLaMA's cache: write at start_pos, read the prefix, repeat heads",
             prepare_llama, _llama_refuses, {}),
    _variant("kv_cache_sdpa", "SDPA over the same cache: write, then attend without repeating heads",
             prepare_sdpa, _refuses, RAGGED),
)  # fmt: skip
