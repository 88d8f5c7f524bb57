"""Transformers' eager attention function, called as its attention modules call it.

Source: huggingface/transformers, ``eager_attention_forward`` of the model that
has what the case needs: Llama's, Gemma 2's for a softcap, gpt-oss's for sinks.
The library looks it up through ``AttentionInterface`` with ``"eager"`` and
calls it with the module, q, k and v ``[B, H, N, D]`` (K and V not repeated), a
mask of 0 and the dtype's lowest number, and the scale. It returns
``[B, M, H, D]``, of which the contract's order is a view. A bias stands in the
mask. Costs: K and V repeated for grouped heads, the score matrix in the dtype
and in float32.
"""

import importlib
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from attnbench.impls.contract import EVERYTHING, Call, Case, Implementation, Inputs, Outputs, Requirement
from attnbench.impls.contract.tensors import dense_kv, has_empty_rows, score_bias, visible


class Module(nn.Module):
    """What the function reads of an attention module."""

    def __init__(self, groups: int, sinks: torch.Tensor | None) -> None:
        super().__init__()
        self.num_key_value_groups, self.sinks = groups, sinks
        self.eval()


def function_for(case: Case) -> Callable[..., Any]:
    """The eager function of the model that does what `case` asks, found as the model finds it."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    model = "gpt_oss" if case.sinks else "gemma2" if case.softcap is not None else "llama"
    own = importlib.import_module(f"transformers.models.{model}.modeling_{model}").eager_attention_forward
    found: Callable[..., Any] = ALL_ATTENTION_FUNCTIONS.get_interface("eager", own)
    return found


def mask_of(inputs: Inputs) -> torch.Tensor | None:
    """0 where a query sees a key, the dtype's lowest number where not, plus the bias; None where all is visible."""
    seen, bias = visible(inputs.case, inputs.q.device), score_bias(inputs)
    if bias is None and bool(seen.all()):
        return None
    start = torch.zeros((), dtype=inputs.q.dtype, device=seen.device) if bias is None else bias
    return torch.where(seen, start, torch.finfo(inputs.q.dtype).min)


def prepare(inputs: Inputs) -> Call:
    """The mask is built once for all layers, as the model's forward does."""
    case, function, mask = inputs.case, function_for(inputs.case), mask_of(inputs)
    module = Module(case.groups, None if inputs.sinks is None else inputs.sinks.to(inputs.q.dtype))
    softcap = {} if case.softcap is None else {"softcap": case.softcap}

    def call() -> Outputs:
        k, v = dense_kv(inputs)
        out, _ = function(module, inputs.q, k, v, mask, dropout=0.0, scaling=case.score_scale, **softcap)
        return Outputs(out.transpose(1, 2))

    return call


def _refuses(case: Case, device: str) -> str | None:
    if case.sinks and case.softcap is not None:
        return "no model of the library has sinks and a softcap"
    if has_empty_rows(case):
        return "its mask holds the dtype's lowest number, not -inf: a query that sees no key gets the mean of v"
    return None


IMPL = Implementation(
    name="hf_eager",
    summary="Transformers' eager_attention_forward (Llama, Gemma 2, gpt-oss)",
    prepare=prepare,
    features=EVERYTHING - {"paged"},
    requires=(Requirement("transformers", ">=4.56", "pip install 'transformers>=4.56'"),),
    refuses=_refuses,
    known_limits={"poison": "a hidden value gets weight 0, and 0 times NaN is NaN"},
)
