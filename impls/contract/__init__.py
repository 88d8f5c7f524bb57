"""The values that every room shares. Nothing here imports torch.

A :class:`Case` says what is asked, an :class:`Implementation` answers it on
:class:`Inputs` with :class:`Outputs`, and :func:`cost` says what the answer
must cost at least.

Conventions (every implementation, oracle and report follows them):

- q is ``[B, Hq, M, D]``, k ``[B, Hkv, N, D]``, v ``[B, Hkv, N, Dv]``; any strides are legal.
- Query head h reads key/value head ``h // (Hq // Hkv)``.
- Causal is aligned bottom-right: query i sees key j when ``j <= i + N - M``.
- A score is ``scale * q.k``, then softcap, then bias, then the mask.
- A query that may see no key gives output 0 and log-sum-exp -inf.
"""

from attnbench.impls.contract.case import DIRECTIONS, DTYPES, Case, CaseError, parse_case
from attnbench.impls.contract.conventions import ConventionError, Conventions, conventions_of
from attnbench.impls.contract.cost import Cost, cost
from attnbench.impls.contract.implementation import (
    ANY_DEVICE,
    EVERYTHING,
    Call,
    Implementation,
    Inputs,
    Outputs,
    Refusal,
    Requirement,
)
from attnbench.impls.contract.layouts import Cache, Dense, Layout, Packed, Padded, Paged, Segment, parse_layout
from attnbench.impls.contract.masks import Blocks, Causal, Full, Mask, Prefix, Window, parse_mask

__all__ = [
    "ANY_DEVICE",
    "DIRECTIONS",
    "DTYPES",
    "EVERYTHING",
    "Blocks",
    "Cache",
    "Call",
    "Case",
    "CaseError",
    "Causal",
    "ConventionError",
    "Conventions",
    "Cost",
    "Dense",
    "Full",
    "Implementation",
    "Inputs",
    "Layout",
    "Mask",
    "Outputs",
    "Packed",
    "Padded",
    "Paged",
    "Prefix",
    "Refusal",
    "Requirement",
    "Segment",
    "Window",
    "conventions_of",
    "cost",
    "parse_case",
    "parse_layout",
    "parse_mask",
]
