"""Whole score matrices with every feature, honest but for one switchable defect.

``features.py:NAME`` declares every keyword parameter, ``NAME__alone`` those that the defect needs, and
``NAME__mended`` the same without the defect. A row that sees no key gives 0; a sink is one more logit without a value.
"""

import inspect
import math
from types import SimpleNamespace

import torch

DEFECTS = {
    "sinks_ignored": ("sinks", "the sinks are declared and ignored"),
    "sinks_of_kv_head": ("sinks", "a query head takes the sink of its key/value head's number"),
    "sinks_base_2": ("sinks", "the sink is raised as a power of 2, the scores as powers of e"),
    "sinks_scaled": ("sinks", "the sink is multiplied by the scale, as if it were a score"),
    "sinks_rounded": ("sinks", "float32 sinks are rounded to bfloat16"),
    "lse_without_sinks": ("sinks", "the LSE lacks the sink, the output has it"),
    "lse_of_uncapped": ("softcap", "the LSE is that of the scores before the softcap"),
    "scale_ignored": ("scale", "the scale is declared and ignored"),
    "scale_half": ("scale", "the scale is kept as a float16 number"),
    "bias_ignored": ("bias", "the bias is declared and never added"),
    "bias_of_batch_row_0": ("bias", "the first batch row's bias stands for all rows"),
    "bias_of_kv_head": ("bias", "a query head takes the bias of its key/value head's number"),
    "bias_transposed": ("bias", "a square bias is read as [key, query]"),
    "bias_of_first_query": ("bias", "the first query's bias is broadcast over all queries"),
    "bias_row_stride": ("bias", "the bias is read with rows of q_len elements instead of kv_len"),
    "bias_rounded": ("bias", "a float32 bias is rounded to bfloat16"),
    "alibi_ignored": ("alibi_slopes", "the ALiBi slopes are declared and never used"),
    "alibi_of_kv_head": ("alibi_slopes", "a query head takes the slope of its key/value head's number"),
    "alibi_of_query_index": ("alibi_slopes causal", "the distance counts from the query's index, not its position"),
    "alibi_signed": ("alibi_slopes", "later keys are rewarded: position - key without its absolute value"),
    "alibi_slopes_assumed": ("alibi_slopes", "slopes are made as for a power of two of heads; those given are unread"),
    "softcap_after_mask": ("softcap causal", "the softcap turns -inf of hidden keys into -cap"),
    "softcap_as_clamp": ("softcap", "scores are cut at the softcap instead of bent"),
    "softcap_whole_number": ("softcap", "the softcap is converted to an int"),
    "softcap_fixed": ("softcap", "the softcap is always 30, whatever is given"),
    "values_of_batch_row_0": ("", "values of batch row 0 for all rows"),
    "keys_by_batch_parity": ("", "batch row b reads the keys of row b % 2"),
    "batch_head_order": ("", "the program's number is split as (head, batch) where keys are read"),
    "ninth_head": ("", "heads from the ninth on read the key/value head of the eighth"),
    "ratio_by_shift": ("", "query head h reads h >> floor(log2(ratio)): right for powers of two"),
    "head_dim_beyond_64": ("", "scores are summed over the first 64 dimensions"),
    "head_dim_beyond_128": ("", "scores are summed over the first 128 dimensions"),
    "head_dim_tail_of_8": ("", "what head_dim has beyond a multiple of 8 is not read"),
    "values_beyond_64": ("", "output columns from 64 on are 0"),
    "v_head_dim_cut": ("", "output columns beyond head_dim are 0"),
    "v_row_stride_of_k": ("", "values are read with the row stride of the keys"),
    "one_key": ("", "a single key is split in two halves, of which neither holds it"),
    "expanded_tail": ("", "keys expanded with stride 0, kv_len of 1 mod 32: the last key is the one before it"),
    "offset_in_16_bits": ("", "the offset of a key/value head is kept in 16 bits"),
    "mask_of_first_query": ("mask", "the first query's mask stands for those of its tile of 16"),
    "mask_transposed": ("mask", "a square mask is read as [key, query]"),
    "values_in_bf16": ("", "float32 values are rounded to bfloat16"),
    "weights_in_fp16": ("", "the weights of float32 inputs are rounded to float16 before they meet the values"),
    "weights_overflow": ("", "float16 inputs: weights are kept in float16, and up to a score of 11 without the maximum"),
    "window_of_0": ("window", "a left side of 0 is taken for no bound"),
    "window_causal": ("window", "any window is causal: its right side is ignored"),
    "window_unbounded_right": ("window", "a window without a right bound is causal"),
    "window_unbounded_left": ("window", "a window without a left bound sees everything"),
    "window_beyond_63": ("window", "a left side above 63 is cut to 63"),
    "scale_lost_with_softcap": ("scale softcap", "with a softcap the default scale is taken"),
    "alibi_over_default_scale": ("scale alibi_slopes", "ALiBi is divided by the default scale, multiplied by the given"),
    "sinks_capped": ("sinks softcap", "the softcap bounds the sinks, too"),
    "bias_lost_with_softcap": ("bias softcap", "with a softcap the bias is not added"),
    "bias_lost_with_window": ("bias window", "with a window the bias is not added"),
    "bias_before_softcap": ("bias softcap", "the bias is added before the softcap"),
    "alibi_before_softcap": ("alibi_slopes softcap", "ALiBi is added before the softcap"),
    "alibi_lost_with_sinks": ("alibi_slopes sinks", "with sinks ALiBi is not added"),
    "softcap_lost_with_window": ("softcap window", "with a window the softcap is forgotten"),
    "sinks_lost_with_window": ("sinks window", "with a window the sinks are forgotten"),
    "scale_lost_with_one_query": ("scale", "one query: the default scale is taken"),
    "bias_lost_with_one_query": ("bias", "one query: the bias is not added"),
    "window_lost_with_one_query": ("window", "one query: the window is forgotten"),
    "groups_lost_with_v_head_dim": ("", "where v_head_dim differs, query head h reads head h % kv_heads"),
}  # fmt: skip


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
    def attention(
        q, k, v, *, causal=False, scale=None, window=(-1, -1), mask=None, softcap=None, bias=None,
        alibi_slopes=None, sinks=None, key_lengths=None, cache_lengths=None, block_table=None,
        cu_seqlens_q=None, cu_seqlens_k=None,
    ):  # fmt: skip
        """Attention over whole score matrices."""
        f = SimpleNamespace(
            causal=causal, scale=scale, window=window, mask=mask, softcap=softcap, bias=bias, slopes=alibi_slopes,
            sinks=sinks, lengths=key_lengths if cache_lengths is None else cache_lengths, table=block_table,
            cached=cache_lengths is not None, starts_q=cu_seqlens_q, starts_k=cu_seqlens_k,
            ratio=q.shape[1] // k.shape[1], d=q.shape[-1],
        )  # fmt: skip
        k, v = stored(k, v, f)
        place = spans(q.shape[2], k.shape[2], f)
        k, v = heads(defect, q, k, v)
        s, raw = scores(defect, q, k, v, f, place[0])
        return weighted(defect, s, raw, hide(defect, q, k, f, *place), v, f, q.dtype)

    return attention


def stored(k, v, f):
    """Keys and values in order ``[B, Hkv, N, D]``, 0 where no data is."""
    if f.table is not None:
        k, v = (x[f.table.long()].transpose(1, 2).flatten(2, 3) for x in (k, v))
    if f.cached:
        k, v = (x[:, :, : int(f.lengths.max())] for x in (k, v))
    if f.mask is not None and not f.cached:  # where no query looks, there may be NaN
        k, v = (x.masked_fill(~f.mask.any(-2)[..., None], 0.0) for x in (k, v))
    if f.lengths is None:
        return k, v
    beyond = torch.arange(k.shape[2])[:, None] >= f.lengths[:, None, None, None]
    return k.masked_fill(beyond, 0.0), v.masked_fill(beyond, 0.0)


def spans(m, n, f):
    """Of each query its position along the keys, and the range of its row's or document's keys: ``[B or 1, M]``."""
    i = torch.arange(m)[None]
    if f.starts_q is not None:
        document = torch.arange(len(f.starts_q) - 1).repeat_interleave(f.starts_q.diff())
        low, high = f.starts_k[document], f.starts_k[document + 1]
        return i - f.starts_q[document + 1] + high, low[None], high[None]
    high = torch.full((1, 1), n) if f.lengths is None else f.lengths[:, None]
    return i + (high if f.cached else n) - m, torch.zeros_like(high), high


def heads(defect, q, k, v):
    """Keys and values of each query head."""
    k, v = misread(defect, k, v)
    kv_heads = k.shape[1]
    ratio = q.shape[1] // kv_heads
    own = torch.arange(q.shape[1]) // ratio
    if defect == "ratio_by_shift":
        own = (torch.arange(q.shape[1]) >> int(math.log2(ratio))).clamp(max=kv_heads - 1)
    if defect == "ninth_head":
        own = torch.arange(q.shape[1]).clamp(max=7) // ratio
    if defect == "groups_lost_with_v_head_dim" and v.shape[-1] != k.shape[-1]:
        own = torch.arange(q.shape[1]) % kv_heads
    k, v = k[:, own], v[:, own]
    if defect == "batch_head_order":
        k = k.transpose(0, 1).flatten(0, 1).unflatten(0, (k.shape[0], -1))
    return k, v


def misread(defect, k, v):
    batch, kv_heads, n, d = k.shape
    match defect:
        case "values_of_batch_row_0":
            v = v[:1].expand(v.shape)
        case "keys_by_batch_parity":
            k = k[torch.arange(batch) % 2]
        case "v_row_stride_of_k":
            spots = (torch.arange(n)[:, None] * d + torch.arange(v.shape[-1])) % (n * v.shape[-1])
            v = v.flatten(2)[:, :, spots]
        case "offset_in_16_bits":
            starts = torch.arange(batch * kv_heads) * (n * d) % 65536
            k = k.flatten()[starts[:, None] + torch.arange(n * d)].reshape(k.shape)
        case "values_in_bf16" if v.dtype == torch.float32:
            v = v.to(torch.bfloat16).to(v.dtype)
        case "expanded_tail" if 0 in k.stride()[:2] and n % 32 == 1 and n > 1:
            k = torch.cat([k[:, :, :-1], k[:, :, -2:-1]], dim=2)
        case "one_key" if n == 1:
            k, v = k[:, :, : n // 2], v[:, :, : n // 2]
    return k, v


def scores(defect, q, k, v, f, position):
    """Scores before the mask, and those that lack the softcap."""
    d = q.shape[-1]
    read = {"head_dim_beyond_64": min(d, 64), "head_dim_beyond_128": min(d, 128)}.get(defect, d)
    read = max(d // 8 * 8, 1) if defect == "head_dim_tail_of_8" else read
    s = q[..., :read].float() @ k[..., :read].float().transpose(-1, -2)
    default = d**-0.5
    scale = scale_of(defect, f, default, q.shape[2])
    added = added_to(defect, q, s, f, position)
    if defect == "alibi_over_default_scale" and f.slopes is not None:
        added = added / default * scale
    s = s * scale
    if defect in ("bias_before_softcap", "alibi_before_softcap") and f.softcap is not None:
        early = f.bias if defect.startswith("bias") else f.slopes
        s, added = (s + added, 0.0) if early is not None else (s, added)
    return capped(defect, s, f) + added, s + added


def scale_of(defect, f, default, m):
    lost = defect == "scale_ignored"
    lost |= defect == "scale_lost_with_softcap" and f.softcap is not None
    lost |= defect == "scale_lost_with_one_query" and m == 1
    scale = default if f.scale is None or lost else f.scale
    return float(torch.tensor(scale).half()) if defect == "scale_half" else scale


def capped(defect, s, f):
    if f.softcap is None or (defect == "softcap_lost_with_window" and windowed(f)):
        return s
    if defect == "softcap_as_clamp":
        return s.clamp(-f.softcap, f.softcap)
    cap = {"softcap_whole_number": max(int(f.softcap), 1), "softcap_fixed": 30.0}.get(defect, f.softcap)
    return cap * torch.tanh(s / cap)


def windowed(f):
    return tuple(f.window) not in ((-1, -1), (-1, 0))


def added_to(defect, q, s, f, position):
    """Bias and ALiBi, ``[B or 1, Hq, M, N]``."""
    total, (m, n) = 0.0, s.shape[-2:]
    lost = defect == "bias_ignored" or (defect == "bias_lost_with_one_query" and m == 1)
    lost |= defect == "bias_lost_with_softcap" and f.softcap is not None
    lost |= defect == "bias_lost_with_window" and windowed(f)
    if f.bias is not None and not lost:
        total = total + bias_of(defect, f.bias, s, f.ratio)
    if f.slopes is None or defect == "alibi_ignored" or (defect == "alibi_lost_with_sinks" and f.sinks is not None):
        return total
    count, slopes = len(f.slopes), f.slopes
    if defect == "alibi_of_kv_head":
        slopes = slopes[torch.arange(count) // f.ratio]
    if defect == "alibi_slopes_assumed":
        slopes = 2.0 ** (-8.0 * torch.arange(1, count + 1) / count)
    where = torch.arange(m)[None] if defect == "alibi_of_query_index" else position
    distance = where[:, None, :, None] - torch.arange(n)
    distance = distance if defect == "alibi_signed" else distance.abs()
    return total - slopes[:, None, None] * distance


def bias_of(defect, bias, s, ratio):
    m, n = s.shape[-2:]
    match defect:
        case "bias_of_kv_head":
            bias = bias[:, torch.arange(bias.shape[1]) // ratio]
        case "bias_of_batch_row_0":
            bias = bias[:1]
        case "bias_transposed" if m == n:
            bias = bias.transpose(-1, -2)
        case "bias_of_first_query":
            bias = bias[:, :, :1]
        case "bias_row_stride":
            spots = (torch.arange(m)[:, None] * m + torch.arange(n)) % (m * n)
            bias = bias.flatten(2)[:, :, spots]
        case "bias_rounded":
            bias = bias.to(torch.bfloat16)
    return bias.float()


def hide(defect, q, k, f, position, low, high):
    """What each query does not see: ``[B or 1, 1, M, N]``."""
    j, m = torch.arange(k.shape[2]), q.shape[2]
    position, low, high = (x[:, None, :, None] for x in (position, low, high))
    hidden = (j < low) | (j >= high)
    if f.causal:
        hidden = hidden | (j > position)
    elif windowed(f):
        left, right = sides(defect, f.window, m)
        hidden = hidden | ((j < position - left) if left >= 0 else hidden)
        hidden = hidden | ((j > position + right) if right >= 0 else hidden)
    elif f.mask is not None and not f.causal:
        hidden = hidden | ~mask_of(defect, f.mask)
    return hidden


def sides(defect, window, m):
    left, right = window
    match defect:
        case "window_of_0":
            left = left or -1
        case "window_causal":
            right = 0
        case "window_unbounded_right" if right < 0:
            right = 0
        case "window_unbounded_left" if left < 0:
            right = -1
        case "window_beyond_63":
            left = min(left, 63)
        case "window_lost_with_one_query" if m == 1:
            left, right = -1, -1
    return left, right


def mask_of(defect, mask):
    if defect == "mask_transposed" and mask.shape[-1] == mask.shape[-2]:
        return mask.transpose(-1, -2)
    if defect == "mask_of_first_query":
        return mask[:, :, torch.arange(mask.shape[2]) // 16 * 16]
    return mask


def weighted(defect, s, raw, hidden, v, f, dtype):
    """Softmax with the sink, output and LSE."""
    s = s.masked_fill(hidden, -torch.inf)
    if defect == "softcap_after_mask" and f.softcap is not None:
        s = s.clamp(min=-f.softcap)
    sink = None if lost_sinks(defect, f) else sink_of(defect, f)
    m = s.amax(-1, keepdim=True) if s.shape[-1] else s.new_full((*s.shape[:3], 1), -torch.inf)
    m = m if sink is None else torch.maximum(m, sink)
    m = m.masked_fill(m == -torch.inf, 0.0).detach()
    p = torch.exp(s - m)
    if defect == "weights_overflow" and dtype == torch.float16:
        m = m.clamp(max=0.0)
        p = torch.exp(s - m).half().float()
    alone = p.sum(-1, keepdim=True)
    l = alone
    if sink is not None:
        l = alone + (torch.exp2 if defect == "sinks_base_2" else torch.exp)(sink - m)
    p = p / torch.where(l > 0, l, 1.0)
    if defect == "weights_in_fp16" and dtype == torch.float32:
        p = p.half().float()
    out = (p @ v.float()).to(dtype)
    lse = (m + (alone if defect == "lse_without_sinks" else l).log()).squeeze(-1)
    if defect == "lse_of_uncapped":
        lse = torch.logsumexp(raw.masked_fill(hidden, -torch.inf), dim=-1)
    return cut(defect, out, f.d), lse


def lost_sinks(defect, f):
    return f.sinks is None or defect == "sinks_ignored" or (defect == "sinks_lost_with_window" and windowed(f))


def sink_of(defect, f):
    """The sinks' logits, ``[Hq, 1, 1]``."""
    sinks = f.sinks
    match defect:
        case "sinks_of_kv_head":
            sinks = sinks[torch.arange(len(sinks)) // f.ratio]
        case "sinks_scaled":
            sinks = sinks * (f.d**-0.5 if f.scale is None else f.scale)
        case "sinks_rounded":
            sinks = sinks.to(torch.bfloat16).float()
        case "sinks_capped" if f.softcap is not None:
            sinks = f.softcap * torch.tanh(sinks / f.softcap)
    return sinks[:, None, None]


def cut(defect, out, d):
    """The output, without the columns that the defect loses."""
    width = {"values_beyond_64": 64, "v_head_dim_cut": d}.get(defect, out.shape[-1])
    return torch.nn.functional.pad(out[..., :width], (0, max(0, out.shape[-1] - width)))
