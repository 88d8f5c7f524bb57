"""A few rows of a case in float64, on which the outputs of known mistakes are computed: see `hints`."""

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from attnbench.bench.agreement.rows import alibi_rows, visible_rows
from attnbench.impls.contract import Case, Inputs, Mask
from attnbench.impls.contract.tensors import dense_kv

SCORES = 1 << 18
"""Scores that are worth computing for each mistake."""

FEWEST = 4


@dataclass(frozen=True)
class HintTerms:
    """The float64 terms of attention on some rows ``[R]`` of all heads; keys and values as ``[B, Hkv, N, D]``."""

    case: Case
    inputs: Inputs
    rows: Tensor

    @cached_property
    def q(self) -> Tensor:
        """``[B, Hq, R, D]``."""
        return self.inputs.q[:, :, self.rows].detach().double()

    @cached_property
    def kv(self) -> tuple[Tensor, Tensor]:
        """Keys and values, with NaN in hidden places replaced."""
        k, v = (torch.nan_to_num(x.detach()).double() for x in dense_kv(self.inputs))
        return k, v

    @cached_property
    def heads(self) -> Tensor:
        """The key/value head of each query head."""
        return torch.arange(self.case.q_heads, device=self.rows.device) // self.case.groups

    @cached_property
    def seen(self) -> Tensor:
        """``[B, 1, R, N]``."""
        return visible_rows(self.case, self.rows)

    @cached_property
    def keys(self) -> Tensor:
        """Numbers of the keys ``[N]``."""
        return torch.arange(self.case.kv_len, device=self.rows.device)

    @cached_property
    def products(self) -> Tensor:
        """q.k of the right heads, unscaled: ``[B, Hq, R, N]``."""
        return self.q @ self.kv[0][:, self.heads].transpose(-1, -2)

    @cached_property
    def bias(self) -> Tensor | None:
        """What is added to the scores."""
        if self.inputs.alibi_slopes is not None:
            return alibi_rows(self.inputs.alibi_slopes, self.case, self.rows).double()
        return None if self.inputs.bias is None else self.inputs.bias[:, :, self.rows].double()

    @cached_property
    def sinks(self) -> Tensor | None:
        """``[1, Hq, 1, 1]``."""
        sinks = self.inputs.sinks
        return None if sinks is None else sinks.double()[None, :, None, None]

    def scores(self, factor: float = 1.0, products: Tensor | None = None) -> Tensor:
        """Scores before the mask; `factor` multiplies the scale."""
        scores = (self.products if products is None else products) * (self.case.score_scale * factor)
        late = self.case.softcap is not None and self.case.conventions.softcap == "after-mask"
        if late and self.bias is not None:
            scores = scores + self.bias
        if self.case.softcap is not None:
            scores = self.case.softcap * torch.tanh(scores / self.case.softcap)
        if late:
            return scores
        return scores if self.bias is None else scores + self.bias

    def weights(self, scores: Tensor, seen: Tensor) -> Tensor:
        """Softmax over what is seen; a row that sees nothing is NaN."""
        return torch.exp(self.masked(scores, seen) - self.lse(scores, seen))

    def masked(self, scores: Tensor, seen: Tensor) -> Tensor:
        """-inf where nothing is seen."""
        return scores.masked_fill(~seen, -torch.inf)

    def lse(self, scores: Tensor, seen: Tensor) -> Tensor:
        """``[B, Hq, R, 1]``, sinks included."""
        lse = torch.logsumexp(self.masked(scores, seen), dim=-1, keepdim=True)
        return lse if self.sinks is None else torch.logaddexp(lse, self.sinks.expand(lse.shape))

    def values(self, weights: Tensor, heads: Tensor | None = None) -> Tensor:
        """Weights times the values of these heads."""
        return weights @ self.kv[1][:, self.heads if heads is None else heads]

    def seen_by(self, mask: Mask | None = None, shift: int = 0) -> Tensor:
        """What would be seen with another mask, or with every query `shift` positions further along."""
        case = self.case if mask is None else _with_mask(self.case, mask)
        seen = torch.zeros_like(self.seen)
        for segment in case.segments:
            inside = (self.rows >= segment.q_start) & (self.rows < segment.q_start + segment.q_len)
            slots = inside.nonzero().flatten()
            keys = self.keys[: segment.k_len]
            position = self.rows[slots] - segment.q_start + segment.offset + shift
            here = case.mask.visible(position[:, None], keys[None, :])
            seen[segment.row, 0, slots[:, None], keys[None, :] + segment.k_start] = here
        return seen


def _with_mask(case: Case, mask: Mask) -> Case:
    import msgspec

    return msgspec.structs.replace(case, mask=mask)


def hint_terms(inputs: Inputs, rows: Tensor, wrong: Tensor) -> HintTerms | None:
    """The terms of a few rows, wrong ones (`wrong`, bool ``[R]`` along `rows`) first; None where even a few are too many."""
    case = inputs.case
    each = case.batch * case.q_heads * case.kv_len
    if each * FEWEST > SCORES * 16:
        return None
    size = max(FEWEST, SCORES // each)
    order = torch.argsort((~wrong).int(), stable=True)
    first = order[: int(wrong.sum())]
    spread = first[torch.linspace(0, len(first) - 1, min(size, len(first))).long()] if len(first) else first
    others = torch.tensor([0, len(rows) - 1])
    chosen = rows[torch.cat([spread.cpu(), others]).unique()].to(inputs.q.device)
    return HintTerms(case, replace(inputs, dout=None), chosen)
