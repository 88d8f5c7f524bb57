"""The textbook's attention, honest but for one switchable defect; ``eager.py:NAME`` has the defect NAME."""

import torch

DEFECTS = {
    "tutorial_triangle": "mask = ones(n, n).triu(1), filled where it is 0: sees only the future, the last row NaN",
    "no_mask": "the causal mask is forgotten",
    "strict": "j < i: a query does not see its own key",
    "one_too_many": "j <= i + 1: a query sees the next key",
    "mask_after": "weights zeroed after the softmax, not renormalised",
    "mask_after_renormalised": "weights zeroed after the softmax, renormalised: 0 / 0 under a hidden spike",
    "mask_by_zero": "hidden scores multiplied by 0, which is a score as good as any",
    "weak_fill": "hidden scores set to -10 instead of -inf",
    "window_left_off": "the window is one key too wide on the left",
    "window_right_off": "the window is one key too narrow on the right",
    "window_ignored": "the window is ignored without a word",
    "window_precedence": "(i - j) <= left & (j <= i): & binds tighter than <=",
    "padding_ignored": "padding is attended to",
    "padding_of_first": "the first row's length stands for all rows",
    "padding_off": "one key of padding is attended to",
    "top_left": "causal aligned top-left: j <= i",
    "absolute_offset": "the offset is |N - M|: right until there are more queries than keys",
    "grouped_modulo": "query head h reads head h % kv_heads",
    "values_modulo": "only the values are taken from head h % kv_heads",
    "first_head": "every query head reads the first key/value head",
    "batch_row_0": "keys of batch row 0 for all rows",
    "unscaled": "the scores are not scaled",
    "scaled_twice": "the scale is applied to q and to the scores",
    "scale_by_d": "the scale is 1 / head_dim",
    "scale_off": "the scale is 2% too large",
    "scale_ignored": "the scale that the caller gives is ignored",
    "scale_of_values": "the scale is 1 / sqrt(v_head_dim)",
    "softcap_ignored": "the softcap is ignored",
    "softcap_after_bias": "the softcap bounds scores and bias together",
    "softcap_unscaled": "cap * tanh(s), without dividing by the cap",
    "bias_scaled": "the bias is added before the scale",
    "bias_of_first_head": "one head's bias is used for all",
    "alibi_sign": "ALiBi rewards distance",
    "alibi_reversed": "ALiBi's slopes are given to the heads in reverse",
    "sinks_ignored": "the sinks are ignored",
    "sinks_unshifted": "exp(sink) is added to sums that are relative to the row's maximum",
    "bf16_products": "float32 inputs are rounded to bfloat16",
    "tf32_products": "float32 inputs keep 10 bits, as tensor cores do by default",
    "fp8_weights": "weights are rounded to float8",
    "half_scores": "scores are rounded to float16 before the softmax of float32 inputs",
    "no_max": "exp without subtracting the maximum",
    "cheap_exp": "exp by its linear interpolation between powers of 2 (Schraudolph)",
    "not_normalised": "the weights are not divided by their sum",
    "transposed_out": "the output lies as [B, M, H, D] and is called [B, H, M, D]",
    "assumes_contiguous": "strides are taken for granted",
    "halves_swapped": "the two halves of head_dim change places",
    "mean_of_empty": "a row that sees no key gives the mean of the values",
}


def __getattr__(name):
    if name != "honest" and name not in DEFECTS:
        raise AttributeError(name)
    return make(name)


def make(defect):
    def attention(
        q, k, v, *, causal=False, scale=None, window=(-1, -1), softcap=None, bias=None, alibi_slopes=None,
        sinks=None, key_lengths=None,
    ):  # fmt: skip
        """The textbook's attention."""
        q, k, v = (prepared(defect, x) for x in (q, k, v))
        v = without_padding(defect, v, key_lengths)
        k, v = heads(defect, k, v, q.shape[1])
        s = scores(defect, q, k, v, scale, softcap, bias, alibi_slopes)
        hidden = hide(defect, q, k, causal, window, key_lengths)
        p = weights(defect, s, hidden, sinks)
        out = (p.float() @ v.float()).to(q.dtype)
        if defect == "transposed_out":
            return out.transpose(1, 2).reshape(out.shape)
        if defect == "halves_swapped":
            return torch.cat(out.chunk(2, dim=-1)[::-1], dim=-1)
        if defect == "mean_of_empty":
            empty = hidden.all(-1, keepdim=True).expand(*out.shape[:3], 1)
            return torch.where(empty, v.mean(2, keepdim=True), out)
        return out

    return attention


def prepared(defect, x):
    if defect == "assumes_contiguous":
        return x.as_strided(x.shape, torch.empty(x.shape, device="meta").stride())
    if defect == "bf16_products":
        return x.to(torch.bfloat16).to(x.dtype)
    if defect == "tf32_products":
        return (x.contiguous().view(torch.int32) & ~0x1FFF).view(torch.float32)
    return x


def without_padding(defect, v, key_lengths):
    """Zeros where no value is: a weight of 0 does not hide a NaN."""
    if key_lengths is None or defect in ("padding_ignored", "padding_of_first"):
        return v
    lengths = key_lengths[:, None, None, None] + int(defect == "padding_off")
    return v.masked_fill(torch.arange(v.shape[2])[:, None] >= lengths, 0.0)


def heads(defect, k, v, q_heads):
    groups, kv_heads = q_heads // k.shape[1], k.shape[1]
    if defect == "batch_row_0":
        k = k[:1].expand(k.shape)
    if defect == "first_head":
        return k[:, :1].expand(-1, q_heads, -1, -1), v[:, :1].expand(-1, q_heads, -1, -1)
    right, wrong = torch.arange(q_heads) // groups, torch.arange(q_heads) % kv_heads
    return (
        k[:, wrong if defect == "grouped_modulo" else right],
        v[:, wrong if defect in ("grouped_modulo", "values_modulo") else right],
    )


def scores(defect, q, k, v, scale, softcap, bias, alibi_slopes):
    d = q.shape[-1]
    scale = d**-0.5 if scale is None or defect == "scale_ignored" else scale
    scale = {
        "unscaled": 1.0,
        "scaled_twice": scale * scale,
        "scale_by_d": 1 / d,
        "scale_off": 1.02 * scale,
        "scale_of_values": v.shape[-1] ** -0.5,
    }.get(defect, scale)
    s = q.float() @ k.float().transpose(-1, -2)
    added = added_to_scores(defect, s, bias, alibi_slopes)
    if defect == "bias_scaled":
        return (s + added) * scale
    s = s * scale
    if defect == "softcap_after_bias":
        return softcap * torch.tanh((s + added) / softcap)
    if softcap is not None and defect != "softcap_ignored":
        s = softcap * torch.tanh(s / (1 if defect == "softcap_unscaled" else softcap))
    return s + added


def added_to_scores(defect, s, bias, alibi_slopes):
    if bias is not None:
        return (bias[:, :1] if defect == "bias_of_first_head" else bias).float()
    if alibi_slopes is None:
        return 0.0
    m, n = s.shape[-2:]
    slopes = alibi_slopes.flip(0) if defect == "alibi_reversed" else alibi_slopes
    distance = (torch.arange(m)[:, None] + n - m - torch.arange(n)).abs()
    return slopes[:, None, None] * distance * (1 if defect == "alibi_sign" else -1)


def hide(defect, q, k, causal, window, key_lengths):
    m, n = q.shape[2], k.shape[2]
    i, j = torch.arange(m)[:, None], torch.arange(n)[None, :]
    position = i + {"top_left": 0, "absolute_offset": abs(n - m)}.get(defect, n - m)
    hidden = torch.zeros(m, n, dtype=torch.bool)
    left, right = window
    if defect == "window_precedence" and left >= 0:
        return ~((position - j) <= (left & (j <= position).long()))
    if causal and defect != "no_mask":
        if defect == "tutorial_triangle":
            return torch.ones(m, n).triu(1) == 0
        limit = {"strict": position - 1, "one_too_many": position + 1}.get(defect, position)
        hidden = hidden | (j > limit)
    if left >= 0 and defect != "window_ignored":
        hidden = hidden | (j < position - left - int(defect == "window_left_off"))
    if right >= 0 and not causal and defect != "window_ignored":
        hidden = hidden | (j > position + right - int(defect == "window_right_off"))
    if key_lengths is not None and defect != "padding_ignored":
        lengths = key_lengths[:1].expand(key_lengths.shape) if defect == "padding_of_first" else key_lengths
        hidden = hidden | (j >= lengths[:, None, None, None] + int(defect == "padding_off"))
    return hidden


def weights(defect, s, hidden, sinks):
    if defect in ("mask_after", "mask_after_renormalised"):
        p = torch.softmax(s, dim=-1).masked_fill(hidden, 0.0)
        return p / p.sum(-1, keepdim=True) if defect == "mask_after_renormalised" else p
    if defect == "mask_by_zero":
        return torch.softmax(s * ~hidden, dim=-1)
    if defect == "half_scores":
        s = s.half().float()
    s = s.masked_fill(hidden, -10.0 if defect == "weak_fill" else -torch.inf)
    m = s.amax(-1, keepdim=True)
    if sinks is not None and defect not in ("sinks_ignored", "sinks_unshifted"):
        m = torch.maximum(m, sinks[:, None, None])
    m = torch.zeros_like(m) if defect == "no_max" else m.masked_fill(m == -torch.inf, 0.0)
    if defect == "tutorial_triangle":
        return torch.softmax(s, dim=-1)
    p = schraudolph(s - m) if defect == "cheap_exp" else torch.exp(s - m)
    if defect == "not_normalised":
        return p
    total = p.sum(-1, keepdim=True)
    if sinks is not None and defect != "sinks_ignored":
        total = total + torch.exp(sinks[:, None, None] - (0.0 if defect == "sinks_unshifted" else m))
    p = p / torch.where(total > 0, total, 1.0)
    return p.to(torch.float8_e4m3fn).float() if defect == "fp8_weights" else p


def schraudolph(x):
    x = x * 1.4426950408889634
    whole = torch.floor(x.clamp(min=-120))
    return torch.where(x == -torch.inf, 0.0, torch.exp2(whole) * (1 + x.clamp(min=-120) - whole))
