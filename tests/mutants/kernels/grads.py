"""FlashAttention's backward written out, honest but for one switchable defect of the gradient."""

import torch

DEFECTS = {
    "dq_unscaled": "dq lacks the scale: off by sqrt(D)",
    "dk_unscaled": "dk lacks the scale",
    "dq_scaled_twice": "dq is scaled twice",
    "no_delta": "dS = P * dP, without delta",
    "delta_of_values": "delta is rowsum(out * out)",
    "mask_forgotten": "the backward sees every key",
    "mask_top_left": "the backward's mask is aligned top-left",
    "first_head_of_group": "dk and dv take the first query head of each group alone",
    "last_head_of_group": "query heads of a group overwrite dv instead of adding to it",
    "group_modulo": "dk is summed over heads h % kv_heads",
    "tail_dropped": "the last, partial key tile gets no gradient",
    "query_tile_dropped": "the first query tile is left out of dk and dv",
    "softcap_slope": "the derivative of the softcap is forgotten",
    "dout_contiguous": "dout's strides are taken for granted",
    "no_gradient_of_v": "v is detached: its gradient never arrives",
    "transposed": "dk takes dS where it needs its transpose",
    "lse_of_other_rows": "the LSE is read one row off",
    "not_zeroed": "dq is added into a buffer that is never zeroed",
    "float8_dscores": "dS is rounded to float8",
    "dv_of_unrounded": "dv from P as it was before normalisation",
}


def __getattr__(name):
    if name != "honest" and name not in DEFECTS:
        raise AttributeError(name)
    return make(name)


def make(defect):
    buffers = {}

    class Attention(torch.autograd.Function):
        @staticmethod
        def forward(ctx, q, k, v, scale, causal, softcap):
            p, lse, _ = weights(q, k, scale, causal, softcap)
            groups = q.shape[1] // k.shape[1]
            out = (p.to(q.dtype).float() @ v.float().repeat_interleave(groups, dim=1)).to(q.dtype)
            ctx.save_for_backward(q, k, v, out, lse)
            ctx.scale, ctx.causal, ctx.softcap = scale, causal, softcap
            return out

        @staticmethod
        def backward(ctx, dout):
            grads = gradients(defect, buffers, *ctx.saved_tensors, dout, ctx.scale, ctx.causal, ctx.softcap)
            return *grads, None, None, None

    def attention(q, k, v, *, causal=False, scale=None, softcap=None):
        """Attention with a written backward."""
        if defect == "no_gradient_of_v":
            v = v.detach()
        return Attention.apply(q, k, v, q.shape[-1] ** -0.5 if scale is None else scale, causal, softcap)

    return attention


def weights(q, k, scale, causal, softcap, top_left=False, lse=None):
    """Weights and LSE, and the derivative of the softcap; with `lse` the weights that it implies."""
    groups, (m, n) = q.shape[1] // k.shape[1], (q.shape[2], k.shape[2])
    s = q.float() @ k.float().repeat_interleave(groups, dim=1).transpose(-1, -2) * scale
    slope = 1.0
    if softcap is not None:
        bounded = torch.tanh(s / softcap)
        s, slope = softcap * bounded, 1 - bounded**2
    if causal:
        position = torch.arange(m)[:, None] + (0 if top_left else n - m)
        s = s.masked_fill(torch.arange(n) > position, -torch.inf)
    lse = torch.logsumexp(s, dim=-1, keepdim=True) if lse is None else lse
    return torch.exp(s - lse.masked_fill(lse == -torch.inf, 0.0)), lse, slope


def gradients(defect, buffers, q, k, v, out, lse, dout, scale, causal, softcap):
    groups, dtype = q.shape[1] // k.shape[1], q.dtype
    if defect == "dout_contiguous":
        dout = dout.as_strided(dout.shape, torch.empty(dout.shape, device="meta").stride())
    if defect == "lse_of_other_rows":
        lse = lse.roll(1, dims=2)
    causal = causal and defect != "mask_forgotten"
    p, _, slope = weights(q, k, scale, causal, softcap, defect == "mask_top_left", lse)
    dout, q_, k_, v_ = dout.float(), q.float(), *(x.float().repeat_interleave(groups, dim=1) for x in (k, v))
    other = out.float() if defect == "delta_of_values" else dout
    delta = 0.0 if defect == "no_delta" else (other * out.float()).sum(-1, keepdim=True)
    ds = p * (dout @ v_.transpose(-1, -2) - delta) * (1.0 if defect == "softcap_slope" else slope)
    ds = ds.to(torch.float8_e4m3fn).float() if defect == "float8_dscores" else ds.to(dtype).float()
    dq = ds @ k_ * {"dq_unscaled": 1.0, "dq_scaled_twice": scale * scale}.get(defect, scale)
    if defect == "query_tile_dropped" and ds.shape[2] > 32:
        ds, p, q_, dout = (x[:, :, 32:] for x in (ds, p, q_, dout))
    turned = ds if defect == "transposed" and ds.shape[2] == ds.shape[3] else ds.transpose(-1, -2)
    dk = turned @ q_ * (1.0 if defect == "dk_unscaled" else scale)
    p = p * lse.exp() if defect == "dv_of_unrounded" else p
    dv = p.to(dtype).float().transpose(-1, -2) @ dout
    if defect == "tail_dropped":
        whole = k.shape[2] // 64 * 64 or k.shape[2]
        dk[:, :, whole:], dv[:, :, whole:] = 0.0, 0.0
    if defect == "not_zeroed":
        key = (dq.shape, dq.dtype)
        dq = buffers[key] = buffers.get(key, 0.0) + dq
    return dq.to(dtype), summed(defect, "k", dk, groups).to(dtype), summed(defect, "v", dv, groups).to(dtype)


def summed(defect, name, x, groups):
    """The sum over the query heads of each group."""
    by_group = x.unflatten(1, (-1, groups))
    if defect == "first_head_of_group":
        return by_group[:, :, 0]
    if defect == "last_head_of_group" and name == "v":
        return by_group[:, :, -1]
    if defect == "group_modulo" and name == "k":
        return x.unflatten(1, (groups, -1)).sum(1)
    return by_group.sum(2)
