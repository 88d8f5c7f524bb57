"""Right results with a wrong way of giving them: honest attention with one switchable side effect."""

import torch

DEFECTS = {
    "scales_q_in_place": "q is multiplied by the scale in place",
    "masks_v_in_place": "the caller's v is rounded in place",
    "shared_buffer": "every call returns the same buffer",
    "writes_into_q": "the output takes q's memory",
    "cached_by_shape": "the result is kept by shape",
    "cached_by_address": "the result is kept by the address of q",
    "float32_out": "the output is float32 whatever the input is",
    "bmhd_out": "the output is [B, M, H, D]",
    "numpy_out": "the output is no tensor",
    "lse_half": "the LSE is in the input dtype",
    "unwritten": "rows that see no key are never written",
    "reads_unwritten": "a torch.empty accumulator is added to before it is cleared",
    "noisy": "a rounding dither is drawn from torch's global generator",
    "draws": "the global generator is advanced for nothing",
    "reseeds": "torch.manual_seed(0) is called",
    "nondeterministic": "the sum over keys is taken in another order each time",
    "second_call_wrong": "only the first call is right",
    "sets_default_dtype": "the default dtype is left at float64",
    "needs_default_dtype": "an accumulator takes the default dtype",
    "switches_grad_off": "grad mode is left off",
    "switches_threads": "the number of threads is changed",
    "requires_grad": "the inputs begin to require gradients",
    "precision_lowered": "the matmul precision is left at medium",
}


def __getattr__(name):
    if name != "honest" and name not in DEFECTS:
        raise AttributeError(name)
    return make(name)


def make(defect):
    kept = {}
    calls = []

    def attention(q, k, v, *, causal=False, scale=None):
        """Plain attention."""
        calls.append(1)
        scale = q.shape[-1] ** -0.5 if scale is None else scale
        key = {"cached_by_shape": (q.shape, k.shape, causal), "cached_by_address": q.data_ptr()}.get(defect)
        if key is not None and key in kept:
            return kept[key].clone()
        before(defect, q, v)
        if defect == "scales_q_in_place":
            q.mul_(scale)
            scale = 1.0
        out, lse = plain(defect, q, k, v, causal, scale, len(calls))
        if key is not None:
            kept[key] = out.clone()
        return after(defect, kept, q, out, lse, len(calls))

    return attention


def before(defect, q, v):
    if defect == "masks_v_in_place":
        v.copy_(v.to(torch.float8_e4m3fn).to(v.dtype))
    elif defect == "draws":
        torch.rand(1)
    elif defect == "reseeds":
        torch.manual_seed(0)
    elif defect == "sets_default_dtype":
        torch.set_default_dtype(torch.float64)
    elif defect == "switches_grad_off":
        torch.set_grad_enabled(False)
    elif defect == "switches_threads":
        torch.set_num_threads(torch.get_num_threads() + 1)
    elif defect == "precision_lowered":
        torch.set_float32_matmul_precision("medium")
    elif defect == "requires_grad":
        q.requires_grad_()


def after(defect, kept, q, out, lse, calls):
    if defect == "shared_buffer":
        return kept.setdefault(out.shape, torch.empty_like(out)).copy_(out)
    if defect == "writes_into_q" and out.shape == q.shape:
        return torch.as_strided(q, q.shape, q.stride()).copy_(out)
    if defect == "second_call_wrong" and calls > 1:
        return out * 1.5
    if defect == "lse_half":
        return out, lse.to(out.dtype)
    return {"float32_out": out.float, "bmhd_out": out.transpose(1, 2).contiguous, "numpy_out": out.tolist}.get(
        defect, lambda: out
    )()


def plain(defect, q, k, v, causal, scale, calls):
    groups, (m, n) = q.shape[1] // k.shape[1], (q.shape[2], k.shape[2])
    k, v = (x.repeat_interleave(groups, dim=1).float() for x in (k, v))
    s = q.float() @ k.transpose(-1, -2) * scale
    if causal:
        s = s.masked_fill(torch.arange(n) > torch.arange(m)[:, None] + n - m, -torch.inf)
    lse = torch.logsumexp(s, dim=-1)
    p = torch.exp(s - lse.masked_fill(lse == -torch.inf, 0.0).unsqueeze(-1))
    if defect == "noisy":
        p = p * (1 + 1e-4 * torch.rand(p.shape))
    if defect == "nondeterministic":
        order = torch.randperm(n, generator=torch.Generator().manual_seed(calls))
        p, v = p[..., order], v[:, :, order]
    out = (p @ v).to(q.dtype)
    if defect == "unwritten":
        return torch.where((lse == -torch.inf).unsqueeze(-1), torch.empty_like(out), out), lse
    if defect == "reads_unwritten":
        buffer = torch.empty_like(out)
        return out + 0.0 * buffer, lse
    if defect == "needs_default_dtype":
        return torch.zeros(out.shape) + out if out.dtype == torch.float32 else out, lse
    return out, lse
