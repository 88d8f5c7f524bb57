"""``torch.compile`` of the textbook's masked_fill form: what a user gets for one line.

The compiler fuses scale, softcap, bias, mask and softmax into the passes over
the score matrix; it does not see that the two products and the softmax are one
kernel, so that the matrix ``[B, Hq, M, N]`` is still written and read. Compiled
for exactly the shapes that come, outside the timed region. Pages are gathered
before it, in the call.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache

import torch
from torch import Tensor

from attnbench.impls.contract import Call, Implementation, Inputs, Outputs
from attnbench.impls.contract.tensors import (
    adjusted,
    dense_kv,
    has_empty_rows,
    repeat_heads,
    score_bias,
    softmax,
    visible,
)

MOST_COMPILED = 1 << 20
"""Kernels that one process may compile; torch stops at 8 and would go on without a compiler."""


def attend(
    q: Tensor, k: Tensor, v: Tensor, hidden: Tensor, bias: Tensor | None, sinks: Tensor | None,
    scale: float, softcap: float | None, groups: int, empty_rows: bool,
) -> Tensor:  # fmt: skip
    """Output ``[B, Hq, M, Dv]``; `hidden` ``[B or 1, 1, M, N]``."""
    k, v = repeat_heads(k, groups), repeat_heads(v, groups)
    scores = adjusted(q @ k.transpose(-1, -2) * scale, softcap, bias)
    weights = softmax(scores.masked_fill(hidden, -torch.inf), sinks)
    if empty_rows:  # softmax of a row of -inf is NaN; the contract wants 0
        weights = weights.masked_fill(hidden, 0.0)
    return weights @ v


@lru_cache(maxsize=1)
def compiled() -> Callable[..., Tensor]:
    """The function above under torch.compile; a graph break is an error."""
    function: Callable[..., Tensor] = torch.compile(attend, dynamic=False, fullgraph=True)
    return function


def prepare(inputs: Inputs) -> Call:
    """The mask and the bias are built once, as a module registers its buffers."""
    case, function = inputs.case, compiled()
    hidden, bias = ~visible(case, inputs.q.device), score_bias(inputs)
    rest = (hidden, bias, inputs.sinks, case.score_scale, case.softcap, case.groups, has_empty_rows(case))
    return lambda: Outputs(function(inputs.q, *dense_kv(inputs), *rest))


@contextmanager
def compiling() -> Iterator[None]:
    """Room for every case's own kernel: past torch's limit it would run uncompiled."""
    import torch._dynamo.config as dynamo  # its values are set by attribute alone

    with dynamo.patch(recompile_limit=MOST_COMPILED, accumulated_recompile_limit=MOST_COMPILED):
        yield


IMPL = Implementation(
    name="eager_compiled",
    compiled=True,
    summary="torch.compile of the masked_fill form",
    prepare=prepare,
    context=compiling,
    known_limits={"poison": "a hidden value gets weight 0, and 0 times NaN is NaN"},
)
