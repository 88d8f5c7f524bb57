"""Caches, pages and packed documents, honest but for one switchable defect."""

import torch

DEFECTS = {
    "capacity": "the whole cache is read, filled or not",
    "capacity_times_zero": "what the cache has not filled gets weight 0, and 0 times NaN is NaN",
    "aligned_to_capacity": "causal is aligned to the cache's capacity, not to its fill",
    "first_fill": "the first row's fill stands for all rows",
    "fill_off": "one key beyond the fill is read",
    "newest_missing": "the newest key of the cache is not read",
    "table_ignored": "pages are read in the order of the pool",
    "table_of_first": "the first row's block table stands for all rows",
    "last_page_whole": "the last page is read whole",
    "page_size_wrong": "an offset within a page is taken modulo half its size",
    "pages_of_keys_only": "values are read without the block table",
    "documents_leak": "packed documents see each other",
    "boundary_off": "a document's keys begin one too early",
    "documents_top_left": "causal inside a document is aligned top-left",
    "query_offsets_for_keys": "cu_seqlens_q is used for the keys as well",
    "last_document_missing": "the last document is not computed",
    "empty_document_shifts": "a document without keys takes those of the next",
}


def __getattr__(name):
    if name != "honest" and name not in DEFECTS:
        raise AttributeError(name)
    return make(name)


def make(defect):
    def attention(
        q, k, v, *, causal=False, scale=None, cache_lengths=None, block_table=None, cu_seqlens_q=None,
        cu_seqlens_k=None,
    ):  # fmt: skip
        """One row or document at a time."""
        if cu_seqlens_q is not None:
            return packed(defect, q, k, v, causal, scale, cu_seqlens_q, cu_seqlens_k)
        if cache_lengths is None:
            return plain("", q, k, v, causal, scale, k.shape[2] - q.shape[2])
        outs = []
        for b in range(q.shape[0]):
            fill = fill_of(defect, cache_lengths, b)
            outs.append(row(defect, q[b : b + 1], *stored(defect, k, v, block_table, b), causal, scale, fill))
        return torch.cat(outs)

    return attention


def fill_of(defect, lengths, b):
    return int(lengths[0 if defect == "first_fill" else b])


def stored(defect, k, v, table, b):
    """The row's keys and values in order: ``[1, Hkv, capacity, D]``."""
    if table is None:
        return k[b : b + 1], v[b : b + 1]
    pages = table[0 if defect == "table_of_first" else b].long()
    straight = b * table.shape[1] + torch.arange(table.shape[1])
    found = []
    for x, name in ((k, "k"), (v, "v")):
        ignored = defect == "table_ignored" or (defect == "pages_of_keys_only" and name == "v")
        rows = x[straight if ignored else pages]
        if defect == "page_size_wrong":
            rows = rows[:, :, torch.arange(rows.shape[2]) % (rows.shape[2] // 2)]
        found.append(rows.transpose(0, 1).flatten(1, 2).unsqueeze(0))
    return found


def row(defect, q, k, v, causal, scale, fill):
    page_up = -(-fill // 16) * 16
    end = {
        "capacity": k.shape[2],
        "fill_off": min(fill + 1, k.shape[2]),
        "last_page_whole": min(page_up, k.shape[2]),
        "newest_missing": max(fill - 1, 1),
    }.get(defect, fill)
    offset = (k.shape[2] if defect == "aligned_to_capacity" else fill) - q.shape[2]
    if defect == "capacity_times_zero":
        beyond = torch.arange(k.shape[2]) >= fill
        return plain("", q, k.nan_to_num(), v, causal, scale, offset, beyond)
    return plain("", q, k[:, :, :end], v[:, :, :end], causal, scale, offset)


def packed(defect, q, k, v, causal, scale, starts_q, starts_k):
    out = torch.zeros(*q.shape[:3], v.shape[-1], dtype=q.dtype)
    if defect == "documents_leak":
        return plain("", q, k, v, causal, scale, k.shape[2] - q.shape[2])
    if defect == "query_offsets_for_keys":
        starts_k = starts_q
    count = len(starts_q) - 1 - (defect == "last_document_missing")
    for i in range(count):
        (qa, qb), (ka, kb) = starts_q[i : i + 2].tolist(), starts_k[i : i + 2].tolist()
        if defect == "boundary_off":
            ka = max(ka - 1, 0)
        if defect == "empty_document_shifts" and ka == kb and i + 2 < len(starts_k):
            kb = int(starts_k[i + 2])
        if qb > qa:
            offset = 0 if defect == "documents_top_left" else (kb - ka) - (qb - qa)
            out[:, :, qa:qb] = plain("", q[:, :, qa:qb], k[:, :, ka:kb], v[:, :, ka:kb], causal, scale, offset)
    return out


def plain(defect, q, k, v, causal, scale, offset, beyond=None):
    groups = q.shape[1] // k.shape[1]
    k, v = (x.repeat_interleave(groups, dim=1) for x in (k, v))
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    s = q.float() @ k.float().transpose(-1, -2) * scale
    keys, position = torch.arange(k.shape[2]), torch.arange(q.shape[2])[:, None] + offset
    hidden = (keys > position) if causal else torch.zeros(s.shape[-2:], dtype=torch.bool)
    if beyond is not None:
        hidden = hidden | beyond
    p = torch.softmax(s.masked_fill(hidden, -torch.inf), dim=-1).masked_fill(hidden, 0.0)
    return (p.to(q.dtype).float() @ v.float()).to(q.dtype)
