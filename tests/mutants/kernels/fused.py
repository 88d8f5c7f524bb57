"""Online softmax over tiles of 32 keys with FlashAttention's backward, every feature, honest but for one defect.

``fused.py:NAME`` declares every keyword parameter, ``NAME__alone`` those that the defect needs, and
``NAME__mended`` the same without the defect.
"""

import inspect
import math
from types import SimpleNamespace

import torch

TILE = 32
PACKED = "cu_seqlens_q cu_seqlens_k"
FORWARD = {
    "tail_of_one_dropped": ("", "a last tile of one key is not read (kv_len of 1 mod 32)"),
    "sink_of_first_tile": (
        "window sinks",
        "the sink joins with the first tile: rows whose window begins later lose it",
    ),
    "sink_not_rescaled": ("sinks", "the sink's share is not rescaled when the maximum grows"),
    "sinks_of_both_halves": ("sinks", "from 64 keys on two halves are merged, each with the sink"),
    "half_without_keys_nan": (
        "window",
        "from 64 keys on two halves are merged; one that a row does not see gives NaN",
    ),
    "prefix_tiles_skipped": ("mask", "tiles beyond the diagonal are skipped, whatever the mask says"),
    "tile_by_its_corner": (
        "mask",
        "a tile whose first key is hidden from the first of 32 queries is skipped by all",
    ),
    "window_first_tile": ("window", "the first tile of a window is that of the query tile's last row"),
    "accumulator_low": ("", "the accumulator is rounded to the input dtype after each tile"),
    "sum_low": ("", "the running sum is rounded to the input dtype after each tile"),
    "bias_of_tail_missing": ("bias", "the last, partial tile gets no bias"),
    "alibi_of_tile": ("alibi_slopes", "ALiBi's keys are counted from the start of their tile"),
    "softcap_of_tail_missing": ("softcap", "the last, partial tile is not capped"),
}
BACKWARD = {
    "softcap_ignored_in_backward": ("softcap", "the backward recomputes the scores without the softcap"),
    "softcap_slope_forgotten": ("softcap", "the derivative of the softcap is forgotten"),
    "softcap_slope_undivided": (
        "softcap",
        "the derivative of the softcap takes the capped score, undivided by the cap",
    ),
    "slope_of_biased": ("softcap bias", "the derivative of the softcap is taken at the score with its bias"),
    "scale_lost_with_softcap_in_backward": ("scale softcap", "with a softcap dk has the default scale"),
    "alibi_ignored_in_backward": ("alibi_slopes", "the backward recomputes the scores without ALiBi"),
    "alibi_of_query_index_in_backward": ("alibi_slopes causal", "the backward counts ALiBi from the query's index"),
    "bias_ignored_in_backward": ("bias", "the backward recomputes the scores without the bias"),
    "bias_of_group_in_backward": ("bias", "the backward takes the bias of a group's first head"),
    "window_left_lost_in_backward": ("window", "the backward's window has no left side"),
    "window_right_lost_in_backward": ("window", "the backward's window has no right side"),
    "window_queries_end_early": ("window", "dk and dv stop at the last query that sees the tile's first key"),
    "mask_ignored_in_backward": ("mask", "the backward sees what the mask hides"),
    "padding_in_backward": ("causal key_lengths", "dk and dv of padding are not 0, and dq counts them"),
    "documents_leak_in_backward": (f"causal {PACKED}", "the backward lets packed documents see each other"),
    "sinks_ignored_in_backward": ("sinks", "the backward's LSE lacks the sink"),
    "sinks_in_delta": ("sinks", "delta is divided by what the sink leaves to the keys"),
    "sinks_lost_in_dv": ("sinks", "dv takes weights that were normalised without the sink"),
    "sinks_lost_with_window_in_backward": ("sinks window", "with a window the backward's LSE lacks the sink"),
    "small_lse_is_empty": ("", "the backward takes a row whose exp(LSE) underflows (below -87.3) for an empty one"),
    "empty_rows_nan_in_backward": ("causal", "a row without keys gives NaN in the backward: -inf minus -inf"),
    "delta_of_batch_row_0": ("", "delta of batch row 0 for all rows"),
    "delta_over_head_dim": ("", "delta is summed over the first head_dim columns of a wider v_head_dim"),
    "dv_cut_at_head_dim": ("", "columns of dv beyond head_dim are 0"),
    "group_sum_of_two": ("", "dk and dv sum the first two query heads of a group"),
    "ninth_head_gradient": ("", "query heads from the ninth on give nothing to dk and dv"),
    "scale_in_dq_alone": ("scale", "dq has the caller's scale, dk the default"),
    "queries_start_top_left": ("causal", "dk and dv begin at the query tile of a top-left alignment"),
    "dq_tail_lost": ("", "dq misses a last tile of one key (kv_len of 1 mod 32)"),
    "dout_rounded": ("", "a float32 gradient that arrives is rounded to bfloat16"),
}
DEFECTS = FORWARD | BACKWARD


def __getattr__(name):
    defect, _, how = name.partition("__")
    if defect not in {"honest": "", **DEFECTS} or how not in {"", "alone", "mended"}:
        raise AttributeError(name)
    kernel = make("honest" if how == "mended" else defect)
    return declaring(kernel, DEFECTS[defect][0]) if how else kernel


def declaring(function, names):
    """The same function, declaring these keyword parameters alone."""

    def attention(q, k, v, **given):
        return function(q, k, v, **given)

    kept = ("q", "k", "v", *names.split())
    parameters = inspect.signature(function).parameters
    attention.__signature__ = inspect.Signature([p for name, p in parameters.items() if name in kept])
    return attention


def make(defect):
    class Attention(torch.autograd.Function):
        @staticmethod
        def forward(ctx, q, k, v, f):
            out, lse = forward(defect if defect in FORWARD else "honest", q, k, v, f)
            ctx.save_for_backward(q, k, v, out, lse)
            ctx.f = f
            ctx.mark_non_differentiable(lse)
            return out, lse

        @staticmethod
        def backward(ctx, dout, _):
            return *backward(defect if defect in BACKWARD else "honest", *ctx.saved_tensors, dout, ctx.f), None

    def attention(
        q, k, v, *, causal=False, scale=None, window=(-1, -1), mask=None, softcap=None, bias=None,
        alibi_slopes=None, sinks=None, key_lengths=None, cache_lengths=None, block_table=None,
        cu_seqlens_q=None, cu_seqlens_k=None,
    ):  # fmt: skip
        """Tiles of keys with a backward of their own."""
        if block_table is not None:
            k, v = (x[block_table.long()].transpose(1, 2).flatten(2, 3) for x in (k, v))
        if cache_lengths is not None:
            k, v = (x[:, :, : int(cache_lengths.max())] for x in (k, v))
        f = SimpleNamespace(
            causal=causal, scale=q.shape[-1] ** -0.5 if scale is None else scale, window=tuple(window), mask=mask,
            softcap=softcap, bias=bias, slopes=alibi_slopes, sinks=sinks, cached=cache_lengths is not None,
            lengths=key_lengths if cache_lengths is None else cache_lengths, ratio=q.shape[1] // k.shape[1],
            starts_q=cu_seqlens_q, starts_k=cu_seqlens_k,
        )  # fmt: skip
        f.position, f.low, f.high = spans(q.shape[2], k.shape[2], f)
        return Attention.apply(q, k, v, f)

    return attention


def spans(m, n, f):
    """Of each query its position along the keys, and the range of its keys: ``[B or 1, 1, M, 1]``."""
    i = torch.arange(m)[None]
    if f.starts_q is not None:
        document = torch.arange(len(f.starts_q) - 1).repeat_interleave(f.starts_q.diff())
        low, high = f.starts_k[document][None], f.starts_k[document + 1][None]
        found = i - f.starts_q[document + 1] + high, low, high
    else:
        high = torch.full((1, 1), n) if f.lengths is None else f.lengths[:, None]
        found = i + (high if f.cached else n) - m, torch.zeros_like(high), high
    return [x[:, None, :, None] for x in found]


def tile_of(x, f, here):
    """Some keys or values for every query head in float32, 0 where nobody looks: there may be NaN."""
    x = x[:, :, here]
    if f.lengths is not None:
        x = x.masked_fill(torch.arange(here.start, here.stop)[:, None] >= f.lengths[:, None, None, None], 0.0)
    elif f.mask is not None:
        x = x.masked_fill(~f.mask[..., here].any(-2)[..., None], 0.0)
    return x.float().repeat_interleave(f.ratio, dim=1)


def scores(defect, q, kt, f, here, n):
    """Masked scores of a tile, and the derivative of the softcap."""
    s, slope = q.float() @ kt.transpose(-1, -2) * f.scale, 1.0
    tail = here.stop - here.start < TILE
    bias = None if f.bias is None or (tail and defect == "bias_of_tail_missing") else f.bias[..., here].float()
    if bias is not None and defect == "bias_of_group_in_backward":
        bias = bias[:, torch.arange(bias.shape[1]) // f.ratio * f.ratio]
    raw = s
    if f.softcap is not None and not (tail and defect == "softcap_of_tail_missing"):
        bounded = torch.tanh(s / f.softcap)
        s, slope = f.softcap * bounded, 1 - bounded**2
    if bias is not None and defect != "bias_ignored_in_backward":
        s = s + bias
    if defect == "slope_of_biased" and f.softcap is not None and bias is not None:
        slope = 1 - torch.tanh((raw + bias) / f.softcap) ** 2
    if defect == "softcap_slope_undivided" and f.softcap is not None:
        slope = 1 - (f.softcap * bounded) ** 2
    if f.slopes is not None and defect != "alibi_ignored_in_backward":
        position = torch.arange(q.shape[2])[:, None] if defect == "alibi_of_query_index_in_backward" else f.position
        first = 0 if defect == "alibi_of_tile" else here.start
        s = s - f.slopes[:, None, None] * (position - torch.arange(first, first + kt.shape[2])).abs()
    slope = 1.0 if defect == "softcap_slope_forgotten" else slope
    return s.masked_fill(hide(defect, f, here, q.shape[2]), -torch.inf), slope


def hide(defect, f, here, m):
    """What each query does not see of a tile."""
    j, position = torch.arange(here.start, here.stop), f.position
    leak = defect == "documents_leak_in_backward" and f.starts_q is not None
    leak |= defect == "padding_in_backward" and f.lengths is not None
    hidden = (j < f.low) | (j >= f.high) if not leak else (j < 0).expand(m, len(j))
    last = (torch.arange(m) // TILE * TILE + TILE - 1).clamp(max=m - 1)
    last = position[:, :, last] if position.shape[2] == m else position
    left, right = f.window
    if f.causal:
        return hidden | (j > position)
    if f.window not in ((-1, -1), (-1, 0)):
        if left >= 0 and defect != "window_left_lost_in_backward":
            hidden = hidden | (j < position - left)
        if right >= 0 and defect != "window_right_lost_in_backward":
            hidden = hidden | (j > position + right)
        if defect == "window_first_tile" and left >= 0:
            hidden = hidden | (j < (last - left) // TILE * TILE)
    elif f.mask is not None and defect != "mask_ignored_in_backward":
        hidden = hidden | ~f.mask[..., here]
        if defect == "prefix_tiles_skipped":
            hidden = hidden | (here.start > last)
        if defect == "tile_by_its_corner":
            hidden = hidden | hidden[:, :, torch.arange(m) // TILE * TILE, :1]
    return hidden


def tiles(n, first=0):
    return [slice(start, min(start + TILE, n)) for start in range(first, n, TILE)]


def forward(defect, q, k, v, f):
    """Output and LSE."""
    n = k.shape[2]
    if defect not in ("sinks_of_both_halves", "half_without_keys_nan") or n < 64:
        here = tiles(n)[:-1] if defect == "tail_of_one_dropped" and n % TILE == 1 < n else tiles(n)
        acc, l, m = online(defect, q, k, v, f, here, f.sinks)
    else:
        half = n // 2 // TILE * TILE
        twice = f.sinks if defect == "sinks_of_both_halves" else None
        one = online(defect, q, k, v, f, tiles(half), f.sinks)
        two = online(defect, q, k, v, f, tiles(n, half), twice)
        acc, l, m = merged(one, two)
        if defect == "half_without_keys_nan":
            acc = acc.masked_fill((one[1] == 0) | (two[1] == 0), math.nan)
    out = (
        torch.where(l > 0, acc / l, 0.0).to(q.dtype) if defect != "half_without_keys_nan" else (acc / l).to(q.dtype)
    )
    return out, torch.where(l > 0, m + l.log(), -torch.inf).squeeze(-1)


def merged(one, two):
    m = torch.maximum(one[2], two[2])
    safe = m.masked_fill(m == -torch.inf, 0.0)
    a, b = torch.exp(one[2] - safe), torch.exp(two[2] - safe)
    return one[0] * a + two[0] * b, one[1] * a + two[1] * b, m


def online(defect, q, k, v, f, slices, sinks):
    """Accumulator, sum and maximum over some tiles."""
    m = torch.full((*q.shape[:3], 1), -torch.inf)
    l, acc = torch.zeros_like(m), torch.zeros(*q.shape[:3], v.shape[-1], dtype=torch.float32)
    if sinks is not None:
        m, l = sinks[None, :, None, None].expand(m.shape), torch.ones_like(m)
        if defect == "sink_of_first_tile":
            late = hide(defect, f, slices[0], q.shape[2]).all(-1, keepdim=True)
            m, l = m.masked_fill(late, -torch.inf), l.masked_fill(late, 0.0)
    for here in slices:
        s, _ = scores(defect, q, tile_of(k, f, here), f, here, k.shape[2])
        new = torch.maximum(m, s.amax(-1, keepdim=True))
        safe = new.masked_fill(new == -torch.inf, 0.0)
        p, shrink = torch.exp(s - safe), torch.exp(m - safe)
        kept = l * shrink
        if defect == "sink_not_rescaled" and sinks is not None:
            kept = (l - 1) * shrink + 1
        l, m = kept + p.sum(-1, keepdim=True), new
        acc = acc * shrink + p.to(q.dtype).float() @ tile_of(v, f, here)
        if defect == "accumulator_low":
            acc = acc.to(q.dtype).float()
        if defect == "sum_low":
            l = l.to(q.dtype).float()
    return acc, l, m


def backward(defect, q, k, v, out, lse, dout, f):
    """Dq, dk and dv: weights from the LSE, delta from the rounded output."""
    dtype, n, default = q.dtype, k.shape[2], q.shape[-1] ** -0.5
    dout = dout.to(torch.bfloat16).float() if defect == "dout_rounded" else dout.float()
    lse = lse_of(defect, lse, f)
    delta = delta_of(defect, q, out, dout, lse, f)
    dq, dks, dvs = torch.zeros(q.shape, dtype=torch.float32), [], []
    given = f
    if defect == "softcap_ignored_in_backward":
        given = SimpleNamespace(**{**vars(f), "softcap": None})
    for here in tiles(n):
        kt, vt = tile_of(k, f, here), tile_of(v, f, here)
        s, slope = scores(defect, q, kt, given, here, n)
        p = torch.exp(s - lse)
        if defect != "empty_rows_nan_in_backward":
            p = p.masked_fill(s == -torch.inf, 0.0)
        ds = (p * (dout @ vt.transpose(-1, -2) - delta) * slope).to(dtype).float()
        if not (defect == "dq_tail_lost" and n % TILE == 1 < n and here.stop == n):
            dq += ds @ kt * f.scale
        ds, p = queries_of(defect, ds, p, here, f)
        kept = 1.0
        if defect == "sinks_lost_in_dv" and f.sinks is not None:
            kept = 1 - torch.exp(f.sinks[:, None, None] - lse)
        dks.append(ds.transpose(-1, -2) @ q.float())
        dvs.append((p / kept).to(dtype).float().transpose(-1, -2) @ dout)
    other = defect == "scale_in_dq_alone" or (
        defect == "scale_lost_with_softcap_in_backward" and f.softcap is not None
    )
    dk = torch.cat(dks, dim=2) * (default if other else f.scale)
    dv = torch.cat(dvs, dim=2)
    if defect == "dv_cut_at_head_dim":
        dv[..., q.shape[-1] :] = 0.0
    return dq.to(dtype), grouped(defect, dk, f).to(dtype), grouped(defect, dv, f).to(dtype)


def lse_of(defect, lse, f):
    """The LSE of the backward, ``[B, Hq, M, 1]``."""
    windowed = f.window not in ((-1, -1), (-1, 0))
    lost = defect == "sinks_ignored_in_backward" or (defect == "sinks_lost_with_window_in_backward" and windowed)
    lse = lse[..., None]
    if f.sinks is not None and lost:
        lse = lse + torch.log1p(-torch.exp(f.sinks[:, None, None] - lse))
    if defect == "small_lse_is_empty":
        lse = torch.where(lse < -87.3, torch.inf, lse)
    return lse if defect == "empty_rows_nan_in_backward" else lse.masked_fill(lse == -torch.inf, 0.0)


def delta_of(defect, q, out, dout, lse, f):
    width = q.shape[-1] if defect == "delta_over_head_dim" else out.shape[-1]
    delta = (dout * out.float())[..., :width].sum(-1, keepdim=True)
    if defect == "sinks_in_delta" and f.sinks is not None:
        delta = delta / (1 - torch.exp(f.sinks[:, None, None] - lse))
    return delta[:1].expand(delta.shape) if defect == "delta_of_batch_row_0" else delta


def queries_of(defect, ds, p, here, f):
    """The queries that dk and dv of a tile sum over; the others are 0."""
    i, skipped = torch.arange(ds.shape[2])[:, None], None
    if defect == "queries_start_top_left" and f.causal:
        skipped = i < here.start // TILE * TILE
    if defect == "window_queries_end_early" and f.window[0] >= 0 and not f.causal:
        skipped = f.position > here.start + f.window[0]
    if defect == "ninth_head_gradient":
        skipped = torch.arange(ds.shape[1])[:, None, None] >= 8
    return (ds, p) if skipped is None else (ds.masked_fill(skipped, 0.0), p.masked_fill(skipped, 0.0))


def grouped(defect, x, f):
    """The sum over the query heads of each group."""
    x = x.unflatten(1, (-1, f.ratio))
    return (x[:, :, :2] if defect == "group_sum_of_two" else x).sum(2)
