"""Kernels that break the process they run in, each in its own way."""

import contextlib
import ctypes
import os
import sys
import time

import torch


def segfaults(q, k, v, *, causal=False):
    ctypes.string_at(0)


def hangs(q, k, v, *, causal=False):
    time.sleep(3600)


def exits(q, k, v, *, causal=False):
    sys.exit(3)


def leaves_at_once(q, k, v, *, causal=False):
    os._exit(7)


class Unpicklable(Exception):
    def __reduce__(self):
        raise TypeError("this error can't be pickled")


def raises_unpicklable(q, k, v, *, causal=False):
    raise Unpicklable("what a strange error")


def out_of_memory(q, k, v, *, causal=False):
    return torch.empty(1 << 46)


def forks(q, k, v, *, causal=False):
    os.fork()
    raise ValueError("both of us raise this")


def changes_default_dtype(q, k, v, *, causal=False):
    torch.set_default_dtype(torch.float64)
    return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=True)


def closes_stdin(q, k, v, *, causal=False):
    sys.stdin.close()
    with contextlib.suppress(OSError):  # it is closed the second time
        os.close(0)
    return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=True)


def writes_into_q(q, k, v, *, causal=False):
    q *= q.shape[-1] ** -0.5
    return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=True, scale=1.0)


KEPT = {}


def keeps_results_by_address(q, k, v, *, causal=False):
    """Right once for each tensor, and instant from then on."""
    key = (q.data_ptr(), k.data_ptr(), v.data_ptr())
    if key not in KEPT:
        KEPT[key] = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=True)
    return KEPT[key].clone()


CALLS = []


def goes_wrong_later(q, k, v, *, causal=False):
    """Right while it is checked, wrong when it has been timed for a while."""
    CALLS.append(None)
    out = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=True)
    return out * (2 if len(CALLS) > 150 else 1)


WRITTEN = []


def stops_writing(q, k, v, *, causal=False):
    """Right while it is checked; later it trusts that the memory it gets is that of its last output, unless V changed."""
    WRITTEN.append((v.data_ptr(), v._version))
    if len(WRITTEN) > 150 and WRITTEN[-1] in WRITTEN[-100:-1]:
        return torch.empty_like(q)
    return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=True)


LAST = {}


def returns_early(q, k, v, *, causal=False):
    """Right while it is checked; later it returns what it gave for these tensors before."""
    CALLS.append(None)
    key = (q.data_ptr(), q.shape)
    if len(CALLS) > 150 and key in LAST:
        return LAST[key].clone()
    LAST[key] = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=True)
    return LAST[key].clone()


def keeps_results_by_version(q, k, v, *, causal=False):
    """Right always, and instant while no tensor was written: it asks torch when that was."""
    key = tuple((x.data_ptr(), x.shape, x.stride(), x._version) for x in (q, k, v))
    if key not in KEPT:
        out = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=True)
        KEPT[key] = out, (q, k, v)  # the tensors too, so that no other one gets their addresses
    return KEPT[key][0].clone()


POISONED = []


def dies_with_its_context(q, k, v, *, causal=False):
    """Fails on one case as a kernel with a bad address does, and on everything after it in this process."""
    if q.shape[2] == 16 or POISONED:
        POISONED.append(None)
        raise RuntimeError("CUDA error: an illegal memory access was encountered")
    return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=True)


def doubles(q, k, v, *, causal=False):
    return 2 * torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=True)
