"""One batch row or document at a time, every feature, honest but for one switchable defect of a layout.

``served.py:NAME`` declares every keyword parameter, ``NAME__alone`` those that the defect needs, and
``NAME__mended`` the same without the defect.
"""

import inspect
import math
from itertools import pairwise
from types import SimpleNamespace

import torch

PACKED = "cu_seqlens_q cu_seqlens_k"
PAGED = "cache_lengths block_table"
DEFECTS = {
    "window_from_capacity": ("window cache_lengths", "a window's left side counts from the cache's capacity"),
    "window_across_documents": (f"window {PACKED}", "a window's right side reaches into the next document"),
    "window_of_packed_rows": (f"window {PACKED}", "a window is laid by the places in the batch row, not in the document"),
    "window_from_own_length": ("window key_lengths", "a window counts from the row's own length, not from the padded"),
    "window_page_of_first_row": (f"window {PAGED}", "pages before the first row's window are skipped in all rows"),
    "causal_from_own_length": ("causal key_lengths", "causal counts from the row's own length, not from the padded"),
    "alibi_of_query_index_in_cache": ("alibi_slopes causal cache_lengths", "ALiBi counts from the query's index in a cache"),
    "alibi_across_documents": (f"alibi_slopes causal {PACKED}", "ALiBi counts along the batch row, not the document"),
    "alibi_lost_in_padded": ("alibi_slopes key_lengths", "ALiBi is not added where rows are padded"),
    "softcap_lost_in_cache": ("softcap cache_lengths", "the softcap is forgotten where a cache is read"),
    "softcap_lost_in_packed": (f"softcap {PACKED}", "the softcap is forgotten in packed documents"),
    "sinks_lost_in_pages": (f"sinks {PAGED}", "the sinks are forgotten where pages are read"),
    "sinks_of_first_document": (f"sinks {PACKED}", "only the first document has sinks"),
    "scale_lost_in_pages": (f"scale {PAGED}", "the default scale is taken where pages are read"),
    "bias_aligned_to_fill": ("bias cache_lengths", "the bias of a shorter row is read from its right end"),
    "bias_of_first_padded_row": ("bias key_lengths", "padded rows all take the first row's bias"),
    "mask_of_first_cache_row": ("mask cache_lengths", "rows of a cache all take the first row's mask"),
    "all_true_mask": ("mask", "a mask that hides nothing is taken for one that hides everything"),
    "chunk_sees_all": ("causal cache_lengths", "several queries over a cache see all that is filled"),
    "groups_lost_in_pages": (PAGED, "query head h reads head h % kv_heads of a page"),
    "v_head_dim_lost_in_pages": (PAGED, "values in pages are read with the row stride of the keys"),
    "page_by_shift": (PAGED, "page and place come from shifts: right for pages of powers of two"),
    "pages_sorted": (PAGED, "pages are read in rising order of their numbers"),
    "last_page_missing": (PAGED, "only whole pages are read, but for a first one"),
    "table_compact": (PAGED, "a row's pages begin in the table where those of the row before end"),
    "page_number_in_8_bits": (PAGED, "page numbers are kept in 8 bits"),
    "shared_pages": (PAGED, "a page belongs to the last row that names it; the others read zeros"),
    "fills_sorted": ("cache_lengths", "fills are taken to fall from row to row"),
    "fill_modulo_capacity": ("cache_lengths", "a row that fills its cache to the end is taken for an empty one"),
    "cache_batch_stride": ("cache_lengths", "rows of a cache are read as if its capacity were the longest fill"),
    "length_of_row_before": ("key_lengths", "a row has the length of the row before it"),
    "ninth_document": (f"causal {PACKED}", "documents from the ninth on are one"),
    "document_of_one_query": (PACKED, "a document of one query sees its first key alone"),
    "empty_row_mean": ("key_lengths", "a padded row of length 0 gives the mean of its padding"),
    "empty_document_nan": (PACKED, "a document without keys gives NaN"),
    "empty_fill_reads_one": ("cache_lengths", "a row that has filled nothing reads one key"),
    "empty_fill_reads_a_page": (PAGED, "a row that has filled nothing reads a page"),
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
        """Attention, a row or document at a time."""
        f = SimpleNamespace(
            causal=causal, scale=scale, window=tuple(window), mask=mask, softcap=softcap, bias=bias,
            slopes=alibi_slopes, sinks=sinks, lengths=key_lengths, fills=cache_lengths, table=block_table,
            starts_q=cu_seqlens_q, starts_k=cu_seqlens_k,
        )  # fmt: skip
        k, v = (unseen_zeroed(x, f) for x in (k, v))
        parts = documents(defect, q, k, v, f) if f.starts_q is not None else rows(defect, q, k, v, f)
        found = [one(defect, f, part) for part in parts]
        axis = 0 if f.starts_q is None else 2
        return tuple(torch.cat(x, dim=axis) for x in zip(*found, strict=True))

    return attention


def unseen_zeroed(x, f):
    """0 where, by the mask, no query looks: there may be NaN."""
    if f.mask is None or f.fills is not None or f.lengths is not None:  # rows are cut to their lengths
        return x
    return x.masked_fill(~f.mask.any(-2)[..., None], 0.0)


def documents(defect, q, k, v, f):
    """Packed documents, one after the other."""
    starts_q, starts_k = f.starts_q.tolist(), f.starts_k.tolist()
    if defect == "ninth_document" and len(starts_q) > 10:
        starts_q, starts_k = [*starts_q[:9], starts_q[-1]], [*starts_k[:9], starts_k[-1]]
    for number, (qa, qb) in enumerate(pairwise(starts_q)):
        ka, kb = starts_k[number : number + 2]
        offset, reach = kb - ka - (qb - qa), kb
        if defect == "window_across_documents" and f.window[1] > 0:
            reach = min(kb + f.window[1], k.shape[2])
        if defect == "document_of_one_query" and qb - qa == 1:
            reach = min(ka + 1, kb)
        mask = None if f.mask is None else f.mask[:, :, qa:qb, ka:reach]
        yield SimpleNamespace(
            q=q[:, :, qa:qb], k=k[:, :, ka:reach], v=v[:, :, ka:reach], mask=mask, bias=None, offset=offset,
            window_offset=qa - ka if defect == "window_of_packed_rows" else offset,
            alibi_offset=qa - ka if defect == "alibi_across_documents" else offset,
            left_offset=0, first=0, number=number,
        )  # fmt: skip


def rows(defect, q, k, v, f):
    """Rows of a batch: plain, padded, over a cache or over pages."""
    lengths = [k.shape[2]] * q.shape[0] if f.lengths is None else f.lengths.tolist()
    if f.fills is not None:
        lengths = f.fills.tolist()
    if defect == "length_of_row_before" and f.lengths is not None:
        lengths = [lengths[-1], *lengths[:-1]]
    if defect == "fills_sorted" and f.fills is not None:
        lengths = sorted(lengths, reverse=True)
    for b, length in enumerate(lengths):
        keys, values = stored(defect, k, v, f, b)
        capacity = keys.shape[2]
        n = read(defect, f, length, capacity)
        offset = (length if f.fills is not None else capacity) - q.shape[2]
        own = length - q.shape[2]
        yield SimpleNamespace(
            q=q[b : b + 1], k=keys[:, :, :n], v=values[:, :, :n], whole=values, number=b,
            mask=cut(mask_row(defect, f, b), n), bias=bias_row(defect, f, b, n),
            offset=own if defect == "causal_from_own_length" else offset,
            window_offset=own if defect == "window_from_own_length" else offset,
            alibi_offset=0 if defect == "alibi_of_query_index_in_cache" and f.fills is not None else offset,
            left_offset=capacity - length if defect == "window_from_capacity" and f.fills is not None else 0,
            first=first_key(defect, f, q, k, lengths[0]),
        )  # fmt: skip


def read(defect, f, length, capacity):
    """How many keys of the row are read."""
    match defect:
        case "fill_modulo_capacity" if f.fills is not None:
            return length % capacity
        case "empty_fill_reads_one" if f.fills is not None:
            return max(length, 1)
        case "empty_fill_reads_a_page" if f.table is not None and not length:
            return min(capacity, 4)
        case "last_page_missing" if f.table is not None:
            return length // f.page * f.page or length
    return length


def first_key(defect, f, q, k, fill):
    if defect != "window_page_of_first_row" or f.table is None or f.window[0] < 0:
        return 0
    return max(fill - q.shape[2] - f.window[0], 0) // k.shape[2] * k.shape[2]


def mask_row(defect, f, b):
    if f.mask is None:
        return None
    first = f.mask.shape[0] == 1 or (defect == "mask_of_first_cache_row" and f.fills is not None)
    return f.mask[0 if first else b][None]


def cut(mask, n):
    """The mask of `n` keys; those beyond what it tells of are seen."""
    if mask is None:
        return None
    return torch.nn.functional.pad(mask[..., :n], (0, max(0, n - mask.shape[-1])), value=True)


def bias_row(defect, f, b, n):
    if f.bias is None:
        return None
    if defect == "bias_of_first_padded_row" and f.lengths is not None:
        b = 0
    bias = f.bias[b : b + 1]
    if defect == "bias_aligned_to_fill" and f.fills is not None:
        return bias[..., bias.shape[-1] - n :]
    return torch.nn.functional.pad(bias[..., :n], (0, max(0, n - bias.shape[-1])))


def stored(defect, k, v, f, b):
    """The row's keys and values in order: ``[1, Hkv, capacity, D]``."""
    if f.table is None:
        if defect == "cache_batch_stride" and f.fills is not None:
            return tuple(strided_row(x, b, int(f.fills.max())) for x in (k, v))
        return k[b : b + 1], v[b : b + 1]
    f.page = page = k.shape[2]
    places = torch.arange(f.table.shape[1] * page)
    pages, inside = places // page, places % page
    if defect == "page_by_shift":
        bits = int(math.log2(page))
        pages, inside = (places >> bits).clamp(max=f.table.shape[1] - 1), places & ((1 << bits) - 1)
    own = numbers(defect, f, b)
    found = []
    for x in (k, v):
        pool = x
        if defect == "v_head_dim_lost_in_pages" and x is v:
            width, d = v.shape[-1], k.shape[-1]
            spots = (torch.arange(page)[:, None] * d + torch.arange(width)) % (page * width)
            pool = x.flatten(2)[:, :, spots]
        whole = pool[own][pages, :, inside].transpose(0, 1)[None]
        if defect == "shared_pages":
            taken = torch.isin(f.table[b], f.table[b + 1 :])[pages]
            whole = whole.masked_fill(taken[:, None], 0.0)
        found.append(whole)
    return tuple(found)


def numbers(defect, f, b):
    """The numbers of the row's pages, in order."""
    own = f.table[b].long()
    match defect:
        case "pages_sorted":
            used = -(-int(f.fills[b]) // f.page)
            own = torch.cat([own[:used].sort().values, own[used:]])
        case "table_compact":
            begin = sum(-(-int(fill) // f.page) for fill in f.fills[:b])
            own = f.table.flatten().long()[begin : begin + len(own)]
        case "page_number_in_8_bits":
            own = own % 256
    return own


def strided_row(x, b, kv_len):
    """Row `b` of a cache, read as if its capacity were `kv_len`."""
    heads, capacity, d = x.shape[1:]
    flat = x.reshape(-1)[b * heads * kv_len * d :]
    spots = torch.arange(heads)[:, None, None] * capacity * d + torch.arange(capacity * d).reshape(capacity, d)
    return flat[spots % len(flat)][None]


def one(defect, f, part):
    """Output and LSE of one row or document."""
    q, k, v = part.q, part.k, part.v
    ratio = q.shape[1] // k.shape[1]
    own = torch.arange(q.shape[1]) // ratio
    if defect == "groups_lost_in_pages" and f.table is not None:
        own = torch.arange(q.shape[1]) % k.shape[1]
    k, v = k[:, own].float(), v[:, own].float()
    s = scores(defect, q, k, f, part).masked_fill(hide(defect, f, part), -torch.inf)
    lost = (defect == "sinks_lost_in_pages" and f.table is not None) or (
        defect == "sinks_of_first_document" and f.starts_q is not None and part.number
    )
    column = s.new_full((*s.shape[:3], 1), -torch.inf)
    if f.sinks is not None and not lost:
        column = f.sinks[None, :, None, None].expand(column.shape)
    lse = torch.logsumexp(torch.cat([s, column], dim=-1), dim=-1)
    p = torch.exp(s - lse.masked_fill(lse == -torch.inf, 0.0)[..., None])
    return empty(defect, f, part, (p @ v).to(q.dtype)), lse.float()


def empty(defect, f, part, out):
    """What a row without keys gives."""
    if part.k.shape[2]:
        return out
    if defect == "empty_document_nan" and f.starts_q is not None:
        return out * math.nan
    if defect == "empty_row_mean" and f.lengths is not None:
        return (
            part.whole.mean(2, keepdim=True)
            .repeat_interleave(out.shape[1] // part.whole.shape[1], 1)
            .expand(out.shape)
        )
    return out


def scores(defect, q, k, f, part):
    lost = defect == "scale_lost_in_pages" and f.table is not None
    s = q.float() @ k.transpose(-1, -2) * (q.shape[-1] ** -0.5 if f.scale is None or lost else f.scale)
    lost = (defect == "softcap_lost_in_cache" and f.fills is not None) or (
        defect == "softcap_lost_in_packed" and f.starts_q is not None
    )
    if f.softcap is not None and not lost:
        s = f.softcap * torch.tanh(s / f.softcap)
    if part.bias is not None:
        s = s + part.bias.float()
    if f.slopes is not None and not (defect == "alibi_lost_in_padded" and f.lengths is not None):
        position = torch.arange(q.shape[2])[:, None] + part.alibi_offset
        s = s - f.slopes[:, None, None] * (position - torch.arange(k.shape[2])).abs()
    return s


def hide(defect, f, part):
    """What each query of the part does not see: ``[M, N]`` or, with a mask, ``[1, 1, M, N]``."""
    m, n = part.q.shape[2], part.k.shape[2]
    i, j = torch.arange(m)[:, None], torch.arange(n)
    hidden = (j < part.first).expand(m, n)
    left, right = f.window
    if f.causal and not (defect == "chunk_sees_all" and f.fills is not None and m > 1):
        hidden = hidden | (j > i + part.offset)
    elif f.window not in ((-1, -1), (-1, 0)):
        position = i + part.window_offset
        hidden = hidden | ((j < position - left + part.left_offset) if left >= 0 else hidden)
        hidden = hidden | ((j > position + right) if right >= 0 else hidden)
    elif part.mask is not None and not f.causal:
        mask = ~part.mask if defect == "all_true_mask" and bool(part.mask.all()) else part.mask
        hidden = hidden | ~mask
    return hidden
