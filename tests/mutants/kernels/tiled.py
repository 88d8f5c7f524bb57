"""Online softmax over tiles of 64 queries and 64 keys, honest but for one switchable defect."""

import math

import torch

DEFECTS = {
    "tail_dropped": "only whole key tiles are read",
    "tail_unmasked": "the last tile is padded with keys of 0, which take weight",
    "last_key_dropped": "range(n - 1): the last key is never read",
    "diagonal_tile_skipped": "causal: the tile on the diagonal is skipped where it is not the first",
    "tiles_of_top_left": "causal: the number of tiles is taken from a top-left alignment",
    "one_tile_dropped": "of many tiles, the tenth is not read",
    "values_lag": "the value tile is that of the step before (a missing barrier)",
    "no_rescale": "the accumulator is not rescaled when the maximum grows",
    "no_rescale_of_sum": "the sum is not rescaled when the maximum grows",
    "maximum_not_carried": "the running maximum is that of the last tile alone",
    "empty_tile_nan": "a tile that a row does not see gives -inf minus -inf",
    "divided_every_tile": "the accumulator is divided by the sum in every tile",
    "exp2_of_natural": "exp2 of scores that were not multiplied by log2(e)",
    "lse_base_2": "the LSE is in base 2",
    "lse_without_max": "the LSE lacks the maximum",
    "lse_low": "the LSE is rounded to the input dtype",
    "query_tail_unwritten": "the last, partial query tile is never written",
    "query_tail_shifted": "the last query tile is moved back to be whole, its mask is not",
    "low_sum": "the running sum is kept in the input dtype, over tiles of 4",
    "low_accumulator": "the accumulator is kept in float8 between tiles",
    "split_averaged": "two halves of the keys are averaged instead of merged by LSE",
    "split_uncorrected": "two halves are merged by their sums, as if they had one maximum",
    "head_dim_tail": "head_dim is read in blocks of 16, the rest is dropped",
}
TILE = 64


def __getattr__(name):
    if name != "honest" and name not in DEFECTS:
        raise AttributeError(name)
    return make(name)


def make(defect):
    def attention(q, k, v, *, causal=False, scale=None, window=(-1, -1)):
        """Online softmax over tiles."""
        groups = q.shape[1] // k.shape[1]
        k, v = (x.repeat_interleave(groups, dim=1) for x in (k, v))
        if defect.startswith("split"):
            return split(defect, q, k, v, scale, causal, window)
        out = torch.empty(*q.shape[:3], v.shape[-1], dtype=q.dtype)
        lse = torch.empty(q.shape[:3], dtype=torch.float32)
        m = q.shape[2]
        for start in range(0, m, TILE):
            rows, stop = torch.arange(start, min(start + TILE, m)), min(start + TILE, m)
            if defect == "query_tail_unwritten" and stop - start < TILE <= m:
                continue
            if defect == "query_tail_shifted" and stop - start < TILE <= m:
                last = slice(m - TILE, m)
                shifted, offset = rows[0] + torch.arange(TILE), k.shape[2] - m
                found = block(defect, q[:, :, last], k, v, scale, shifted, offset, causal, window)
                out[:, :, last], lse[:, :, last] = found
                continue
            out[:, :, rows], lse[:, :, rows] = block(
                defect, q[:, :, rows], k, v, scale, rows, k.shape[2] - m, causal, window
            )
        return out, lse

    return attention


def split(defect, q, k, v, scale, causal, window):
    rows, n = torch.arange(q.shape[2]), k.shape[2]
    if n < 2:
        return block("", q, k, v, scale, rows, n - len(rows), causal, window)
    half, offset = n // 2, n - len(rows)
    one, lse_one = block("", q, k[:, :, :half], v[:, :, :half], scale, rows, offset, causal, window)
    two, lse_two = block("", q, k[:, :, half:], v[:, :, half:], scale, rows, offset - half, causal, window, half)
    whole = torch.logaddexp(lse_one, lse_two)
    share = torch.exp(lse_one - whole.masked_fill(whole == -torch.inf, 0.0)).unsqueeze(-1)
    if defect == "split_averaged":
        share = torch.full_like(share, 0.5)
    if defect == "split_uncorrected":
        share = (lse_one.exp() / (lse_one.exp() + lse_two.exp())).unsqueeze(-1)
    return (share * one.float() + (1 - share) * two.float()).to(q.dtype), whole


def block(defect, q, k, v, scale, rows, offset, causal, window, first_key=0):
    """Some query rows against all keys; the position of a row is ``row + offset`` along these keys."""
    dtype, n = q.dtype, k.shape[2]
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    position = (rows + offset)[:, None]
    m = torch.full((*q.shape[:3], 1), -torch.inf, dtype=torch.float32)
    l, acc = torch.zeros_like(m), torch.zeros(*q.shape[:3], v.shape[-1], dtype=torch.float32)
    width = {"head_dim_tail": q.shape[-1] // 16 * 16}.get(defect, q.shape[-1])
    before = None
    for start, stop in tiles(defect, n, position, causal):
        keys = torch.arange(start, stop)
        inside = keys < n
        kt, vt = k[:, :, keys.clamp(max=n - 1)].float(), v[:, :, keys.clamp(max=n - 1)].float()
        if not bool(inside.all()):
            kt, vt = kt * inside[:, None], vt * inside[:, None]
        if defect == "values_lag":
            before, vt = vt, vt if before is None or before.shape != vt.shape else before
        s = q[..., :width].float() @ kt[..., :width].transpose(-1, -2) * scale
        hidden = torch.zeros(s.shape[-2:], dtype=torch.bool)
        if causal:
            hidden = hidden | (keys > position)
        if window[0] >= 0:
            hidden = hidden | (keys < position - window[0])
        if window[1] >= 0:
            hidden = hidden | (keys > position + window[1])
        s = s.masked_fill(hidden, -torch.inf)
        top = s.amax(-1, keepdim=True)
        new = top if defect == "maximum_not_carried" else torch.maximum(m, top)
        safe = new if defect == "empty_tile_nan" else new.masked_fill(new == -torch.inf, 0.0)
        if defect == "maximum_not_carried":
            new = torch.where(new == -torch.inf, m, new)
            safe = new.masked_fill(new == -torch.inf, 0.0)
        exp = torch.exp2 if defect == "exp2_of_natural" else torch.exp
        p, shrink = exp(s - safe), exp(m - safe)
        if defect == "maximum_not_carried":
            shrink = shrink.clamp(max=1.0)
        l = l * (1.0 if defect == "no_rescale_of_sum" else shrink) + p.sum(-1, keepdim=True)
        acc = acc * (1.0 if defect == "no_rescale" else shrink) + p.to(dtype).float() @ vt
        if defect == "divided_every_tile":
            acc = acc / l.clamp(min=1e-30)
        if defect == "low_sum":
            l = l.to(dtype).float()
        if defect == "low_accumulator":
            acc = acc.to(torch.float8_e4m3fn).float()
        m = new
    out = acc if defect == "divided_every_tile" else acc / torch.where(l > 0, l, 1.0)
    if defect == "empty_tile_nan":
        out = acc / l
    return out.to(dtype), lse_of(defect, m, l, dtype)


def lse_of(defect, m, l, dtype):
    lse = (torch.zeros_like(m) if defect == "lse_without_max" else m) + l.log()
    lse = torch.where(l > 0, lse, -torch.inf).squeeze(-1)
    if defect == "lse_base_2":
        return lse / math.log(2)
    return lse.to(dtype).float() if defect == "lse_low" else lse


def tiles(defect, n, position, causal):
    """The key tiles that are read, as (start, stop); a tail reaches past the keys only where that is the defect."""
    size = 4 if defect == "low_sum" else TILE
    last = int(position.max()) + 1 if causal else n
    if defect == "tiles_of_top_left" and causal:
        last = int((position - position.min()).max()) + 1 + (int(position.min()) % 1)
    for number, start in enumerate(range(0, n, size)):
        stop = min(start + size, n)
        whole = stop - start == size
        if defect == "tail_dropped" and not whole and start:
            continue
        if defect == "one_tile_dropped" and number == 9:
            continue
        if defect == "diagonal_tile_skipped" and causal and start and stop > int(position.min()):
            continue
        if causal and start >= last:
            continue
        if defect == "tail_unmasked" and not whole:
            stop = start + size
        if defect == "last_key_dropped" and stop == n and n > 1:
            stop = n - 1
        if stop > start:
            yield start, stop
