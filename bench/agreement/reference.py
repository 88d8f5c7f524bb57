"""The float64 reference: attention from its definition, streamed over keys, with a backward of its own.

Source: the definition itself, in the online form of Milakov and Gimelshein
(2018) so that no M x N matrix is ever held; the backward is that of
FlashAttention (Dao et al. 2022, appendix B.4). It knows every mask, layout and
score change that a case can express, and shares no code with any
implementation. Costs float64 arithmetic on every visible tile.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from attnbench.impls.contract import Inputs, Paged, Segment

SCORES_AT_ONCE = 1 << 22
"""Float64 scores held at one time (32 MiB)."""

KEYS_AT_ONCE = 2048


@dataclass(frozen=True)
class Reference:
    """Float64 results: `out` ``[B, Hq, R, Dv]`` and `lse` ``[B, Hq, R]`` for the R rows asked for.

    `dq` (shaped as `out`), `dk` and `dv` (as k and v) are present only where `dout` was given;
    they are the gradients of the rows asked for.
    """

    out: Tensor
    lse: Tensor
    dq: Tensor | None = None
    dk: Tensor | None = None
    dv: Tensor | None = None


@torch.no_grad()
def reference(inputs: Inputs, rows: Tensor | None = None) -> Reference:
    """Attention of `inputs` in float64; `rows` ``[R]`` picks query rows of every head (all without it).

    The backward is computed where `inputs.dout` is given. Rows that are not asked for count as if
    `dout` were 0 there: dk and dv are whole only where that is so.
    """
    case, q = inputs.case, inputs.q
    asked = torch.arange(case.q_len, device=q.device) if rows is None else rows.to(q.device)
    shape = (case.batch, case.q_heads, len(asked))
    out = torch.zeros(*shape, case.v_head_dim, dtype=torch.float64, device=q.device)
    lse = torch.full(shape, -torch.inf, dtype=torch.float64, device=q.device)
    keys_alone = lse.clone()
    if inputs.sinks is not None:  # a row that sees no key still has its sink
        lse[:] = inputs.sinks.double()[None, :, None]
    grads = None
    if inputs.dout is not None:
        shapes = ((*shape, case.head_dim), inputs.k.shape, inputs.v.shape)
        grads = [torch.zeros(each, dtype=torch.float64, device=q.device) for each in shapes]
    for segment in case.segments:
        for piece in _pieces(inputs, segment, asked):
            here = segment.row, slice(None), piece.slots
            out[here], lse[here], keys_alone[here] = piece.forward()
            if grads is not None:
                piece.backward(grads, lse[segment.row, :, piece.slots], out[segment.row, :, piece.slots])
    shown = keys_alone if case.conventions.lse_sinks == "without" else lse
    return Reference(out, shown, *(grads or ()))


def _pieces(inputs: Inputs, segment: Segment, asked: Tensor) -> Iterator["_Piece"]:
    """The asked rows of one segment, a few at a time."""
    inside = (asked >= segment.q_start) & (asked < segment.q_start + segment.q_len)
    slots = inside.nonzero().flatten()
    width = min(max(segment.k_len, 1), KEYS_AT_ONCE)
    step = max(1, SCORES_AT_ONCE // (inputs.case.q_heads * width))
    for chunk in slots.split(step):
        if len(chunk):
            yield _Piece(inputs, segment, chunk, asked[chunk])


class _Piece:
    """Some query rows of one segment against all keys that any of them sees.

    Query heads of a group are folded into the rows, ``[Hkv, G * R, D]``: head h
    is member ``h % G`` of group ``h // G``, and no key is ever repeated.
    """

    def __init__(self, inputs: Inputs, segment: Segment, slots: Tensor, rows: Tensor) -> None:
        self.inputs, self.segment, self.slots, self.rows = inputs, segment, slots, rows
        self.case = inputs.case
        self.position = rows - segment.q_start + segment.offset
        ranges = [
            self.case.mask.key_range(int(p), segment.k_len) for p in (self.position.min(), self.position.max())
        ]
        self.low, self.high = min(r[0] for r in ranges), max(r[1] for r in ranges)
        self.q = self._folded(inputs.q[segment.row][:, rows])

    def _folded(self, x: Tensor) -> Tensor:
        """``[Hq, R, D]`` as float64 ``[Hkv, G * R, D]``."""
        return x.double().reshape(self.case.kv_heads, self.case.groups * x.shape[1], x.shape[2])

    def _grouped(self, x: Tensor) -> Tensor:
        """``[Hkv, G * R, n]`` as a view ``[Hkv, G, R, n]``."""
        found: Tensor = x.unflatten(1, (self.case.groups, len(self.rows)))
        return found

    def _tiles(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Keys (numbers within the segment), k and v tiles ``[Hkv, n, D]`` in float64."""
        for start in range(self.low, self.high, KEYS_AT_ONCE):
            keys = torch.arange(start, min(start + KEYS_AT_ONCE, self.high), device=self.q.device)
            where = self._where(keys)
            k, v = (x[where].double().movedim(0, 1) for x in (self.inputs.k, self.inputs.v))
            yield keys, k, v

    def _where(self, keys: Tensor) -> tuple[Tensor | int, slice, Tensor]:
        """Index of these keys in the stored k and v; the result of indexing is ``[n, Hkv, D]``."""
        case, row = self.case, self.segment.row
        if isinstance(case.layout, Paged):
            table = self.inputs.block_table
            assert table is not None, "a paged case comes with a block table"
            return table[row].long()[keys // case.layout.page], slice(None), keys % case.layout.page
        return torch.full_like(keys, row), slice(None), keys + self.segment.k_start

    def _scores(self, keys: Tensor, k: Tensor) -> tuple[Tensor, Tensor | None]:
        """Masked scores ``[Hkv, G * R, n]`` and the derivative of the softcap at them (None without one)."""
        case, slope = self.case, None
        scores = self.q @ k.transpose(-1, -2) * case.score_scale
        late = case.conventions.softcap == "after-mask"
        if case.softcap is not None and not late:
            bounded = torch.tanh(scores / case.softcap)
            scores, slope = case.softcap * bounded, 1 - bounded**2
        grouped = self._grouped(scores)
        if self.inputs.alibi_slopes is not None:
            slopes = self.inputs.alibi_slopes.double().reshape(case.kv_heads, case.groups, 1, 1)
            grouped = grouped - slopes * (self.position[:, None] - keys[None, :]).abs().double()
        if self.inputs.bias is not None:
            stored = self.inputs.bias[self.segment.row][:, self.rows][:, :, keys + self.segment.k_start]
            grouped = grouped + self._grouped(self._folded(stored))
        if case.softcap is not None and late:
            bounded = torch.tanh(grouped / case.softcap)
            grouped, slope = case.softcap * bounded, (1 - bounded**2).flatten(1, 2)
        seen = case.mask.visible(self.position[:, None], keys[None, :])
        return grouped.masked_fill(~seen, -torch.inf).flatten(1, 2), slope

    def forward(self) -> tuple[Tensor, Tensor, Tensor]:
        """Output ``[Hq, R, Dv]``, log-sum-exp ``[Hq, R]`` of these rows, and that of the keys without the sinks."""
        case = self.case
        shape = (*self.q.shape[:2], 1)
        top = self.q.new_full(shape, -torch.inf)
        total, out = self.q.new_zeros(shape), self.q.new_zeros(*shape[:2], case.v_head_dim)
        for keys, k, v in self._tiles():
            scores, _ = self._scores(keys, k)
            new_top = torch.maximum(top, scores.amax(-1, keepdim=True))
            finite = new_top.masked_fill(new_top == -torch.inf, 0.0)  # -inf minus -inf is NaN
            shrink, weights = torch.exp(top - finite), torch.exp(scores - finite)
            total = total * shrink + weights.sum(-1, keepdim=True)
            out = out * shrink + weights @ v
            top = new_top
        keys_alone = top + total.log()
        out, lse = torch.where(total > 0, out / total, 0.0), keys_alone
        if self.inputs.sinks is not None:
            sinks = self.inputs.sinks.double().reshape(case.kv_heads, case.groups, 1, 1)
            lse = torch.logaddexp(lse, sinks.expand(-1, -1, len(self.rows), 1).flatten(1, 2))
            out = out * torch.exp(keys_alone - lse)
        lse, keys_alone = (self._grouped(x).squeeze(-1).flatten(0, 1) for x in (lse, keys_alone))
        return self._grouped(out).flatten(0, 1), lse, keys_alone

    def backward(self, grads: list[Tensor], lse: Tensor, out: Tensor) -> None:
        """Add the part of these rows to `grads` (dq, dk, dv); `lse` and `out` are the forward's."""
        dq, dk, dv = grads
        case, row = self.case, self.segment.row
        assert self.inputs.dout is not None, "the caller gave a gradient"
        dout = self._folded(self.inputs.dout[row][:, self.rows])
        lse = self._folded(lse.unsqueeze(-1))
        delta = (dout * self._folded(out)).sum(-1, keepdim=True)
        own = torch.zeros_like(self.q)
        for keys, k, v in self._tiles():
            scores, slope = self._scores(keys, k)
            weights = torch.where(scores == -torch.inf, 0.0, torch.exp(scores - lse))
            dscores = weights * (dout @ v.transpose(-1, -2) - delta)
            if slope is not None:
                dscores = dscores * slope
            dscores = dscores * case.score_scale
            own += dscores @ k
            columns = keys + self.segment.k_start
            dv[row][:, columns] += weights.transpose(-1, -2) @ dout
            dk[row][:, columns] += dscores.transpose(-1, -2) @ self.q
        dq[row][:, self.slots] = self._grouped(own).flatten(0, 1)
