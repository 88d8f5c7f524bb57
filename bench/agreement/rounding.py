"""The variance that independent rounding errors give each element of an output, to first order.

The error of a low-precision reference is one sample of its rounding errors. Where a few
weights decide an element, these may happen to cancel while another honest kernel's
don't. The variance does not depend on that.

For example, a query sees two keys with equal scores of 2.0 in bfloat16, and values +1 and -1.
The weights are 1/2 each and the output is 0. The score 2.0 needs no rounding, so a reference may
show no error at all. Another kernel rounds twice, each time by up to half an ulp of
``2 * eps`` with ``eps = 2**-7``: a variance of ``2**2 * eps**2 / 6`` for each score. With ``d out = sum_j
p_j (v_j - out) ds_j`` the output has the variance ``2 * (1/2)**2 * 2**2 * eps**2 / 6``, a standard
deviation of 0.0045, so the budget allows an error of at least 4 * 0.0045 = 0.018.

Each rounding error is taken as uniform over an ulp (variance ``ulp ** 2 / 12``):

- a score is rounded twice in the dtype (the product, its scaling), and so is each
  ``dP = dout . v`` and ``delta = dout . out`` of the backward; sums over head_dim
  or keys, accumulated in float32, add rounding errors of float32;
- a capped score carries an error of ``cap * eps`` whatever its own size: a tanh spelled ``2 * sigmoid(2x) - 1``,
  or by exponentials, is rounded where it lies near 1 or 2 (`TANH_ROUNDINGS` times), in float32, in which
  kernels compute it; so does the slope ``1 - tanh ** 2`` of the backward;
- a row's LSE has float32 rounding errors of its own size, which all weights of the row share.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from attnbench.impls.contract import Case

VARIANCE = "_variance"

TANH_ROUNDINGS = 4
"""Roundings over an ulp of 1 in a tanh that is spelled by exponentials: exp, the sum, the quotient, the difference."""

Low = dict[str, Tensor]
"""Results by name: `out` ``[B, Hq, R, Dv]``, `lse` ``[B, Hq, R]``, and with a gradient dq, dk and dv.

The flash form adds the variance of each, shaped like it and named ``out_variance`` and so on.
"""


@dataclass(frozen=True)
class Chunk:
    """Some rows, with the heads of a group folded: ``[B, Hkv, G * R, ...]``; float32 copies of the rounded inputs."""

    case: Case
    slots: slice
    q: Tensor
    dout: Tensor | None
    bias: Tensor | None
    sinks: Tensor | None
    hidden: Tensor
    dtype: torch.dtype

    def shaped(self, x: Tensor) -> Tensor:
        """``[B, Hkv, G * R, n]`` as ``[B, Hq, R, n]``."""
        found: Tensor = x.unflatten(2, (self.case.groups, -1)).flatten(1, 2)
        return found

    def folded(self, x: Tensor) -> Tensor:
        """``[B, Hq, R, n]`` as ``[B, Hkv, G * R, n]``."""
        found: Tensor = x.unflatten(1, (self.case.kv_heads, self.case.groups)).flatten(2, 3)
        return found


@dataclass(frozen=True)
class RoundingErrors:
    """The variances of a chunk with masked scores and weights ``[B, Hq, R, N]`` and the LSE ``[B, Hq, R, 1]``."""

    chunk: Chunk
    k: Tensor
    v: Tensor
    scores: Tensor
    weights: Tensor
    lse: Tensor

    def _ulp2(self, sizes: Tensor, left: Tensor, right: Tensor, width: int) -> Tensor:
        """Variance of dot products over `width`, from the size of the product, or of its terms where these cancel."""
        eps, single = torch.finfo(self.chunk.dtype).eps, torch.finfo(torch.float32).eps
        lengths = left.square().sum(-1, keepdim=True) @ right.square().sum(-1).unsqueeze(-2)
        return (eps**2 / 6 + single**2 * width / 36) * torch.maximum(sizes.square(), lengths / width)

    @property
    def score(self) -> Tensor:
        """Variance of each score; 0 for hidden ones."""
        chunk, case = self.chunk, self.chunk.case
        q = chunk.q * case.score_scale
        ulp2 = self._ulp2(chunk.folded(self.scores.clamp(min=-1e30)), q, self.k, case.head_dim)
        if case.softcap is not None:
            ulp2 = ulp2 + case.softcap**2 * self.tanh
        return torch.where(self.scores > -torch.inf, chunk.shaped(ulp2), 0.0)

    @property
    def tanh(self) -> float:
        """Variance of a spelled tanh, absolute."""
        return TANH_ROUNDINGS / 12 * torch.finfo(torch.float32).eps ** 2

    @property
    def common(self) -> Tensor:
        """Relative variance that all weights of a row share: ``[B, Hq, R, 1]``."""
        return self._of_lse(self.lse)

    def _of_lse(self, lse: Tensor) -> Tensor:
        """Variance of a log-sum-exp of this size, from its own rounding errors."""
        single, lse = torch.finfo(torch.float32).eps, torch.where(lse.isfinite(), lse, 0.0)
        return single**2 / 12 * (self.chunk.case.kv_len + 4 * lse.square())

    def _of_keys_alone(self) -> Tensor:
        """Variance of the log-sum-exp without the sinks, whose weights sum to 1."""
        weights = torch.softmax(self.scores, dim=-1).nan_to_num(0.0)
        moved = (weights.square() * self.score).sum(-1, keepdim=True)
        return moved + self._of_lse(torch.logsumexp(self.scores, dim=-1, keepdim=True))

    def of_forward(self, out: Tensor) -> Low:
        """``d out = sum_j p_j (v_j - out) ds_j`` and ``d lse = sum_j p_j ds_j``."""
        chunk, single = self.chunk, torch.finfo(torch.float32).eps
        shares = self.weights.square() * self.score
        total, folded = shares.sum(-1, keepdim=True), chunk.folded(shares)
        mean, square = chunk.shaped(folded @ self.v), chunk.shaped(folded @ self.v.square())
        moved = (square - 2 * out * mean + out.square() * total).clamp(min=0.0)
        summing = out.square() * self.common + single**2 / 24 * self.v.square().mean()
        of_lse = self._of_keys_alone() if chunk.case.conventions.lse_sinks == "without" else total + self.common
        return {
            "out" + VARIANCE: moved + torch.where(self.weights.sum(-1, keepdim=True) > 0, summing, 0.0),
            "lse" + VARIANCE: of_lse.squeeze(-1),
        }

    def of_backward(self, dscores: Tensor, products: Tensor, out: Tensor, sums: Low, slope: Tensor | None) -> Low:
        """``dS_j = p_j (dP_j - delta)``: errors of p and dP differ from key to key, the error of delta is the row's.

        `dscores` and `products` (dP) are folded, ``[B, Hkv, G * R, N]``, as is the `slope` of the softcap, where
        there is one; the variances of dk and dv are added to `sums`.
        """
        chunk, case, width = self.chunk, self.chunk.case, self.chunk.case.v_head_dim
        eps, single = torch.finfo(chunk.dtype).eps, torch.finfo(torch.float32).eps
        assert chunk.dout is not None, "a backward has a gradient"
        weights, score, common = (chunk.folded(x) for x in (self.weights, self.score, self.common))
        if case.softcap is not None:
            score = score * (1 + 4 / case.softcap**2)
        shifted = (weights.square() * score).sum(-1, keepdim=True)  # the LSE's error from the scores' errors
        changed = score + shifted + common + eps**2 / 6
        terms = chunk.dout * chunk.folded(out)
        delta = terms.sum(-1, keepdim=True).square()
        # delta comes from the rounded output: its own roundings, the row's common error, and the scores' errors.
        delta = (eps**2 / 6) * torch.maximum(delta, terms.square().sum(-1, keepdim=True)) + common * delta
        delta = delta + single**2 * width / 36 * terms.square().sum(-1, keepdim=True)
        delta = delta + (dscores.square() * score).sum(-1, keepdim=True)
        own = weights.square() * self._ulp2(products, chunk.dout, self.v, width) + dscores.square() * changed
        if slope is not None:  # the slope 1 - tanh ** 2 is off by 2 tanh d(tanh), and rounded itself
            uncapped = weights * (products - (chunk.dout * chunk.folded(out)).sum(-1, keepdim=True))
            own = own + uncapped.square() * (4 * (1 - slope) * self.tanh + single**2 / 12)
        scale2 = case.score_scale**2
        shared = (weights @ self.k).square() * delta
        spread = own + weights.square() * delta
        sums["dk" + VARIANCE] += scale2 * (spread.transpose(-1, -2) @ chunk.q.square())
        sums["dv" + VARIANCE] += (weights.square() * changed).transpose(-1, -2) @ chunk.dout.square()
        return {"dq" + VARIANCE: chunk.shaped(scale2 * (own @ self.k.square() + shared))}
