"""flash-attn-4 4.0.0b36's public functions (``flash_attn.cute``), by their signatures."""

import plain


def flash_attn_func(
    q, k, v, qv=None, gather_kv_indices=None, softmax_scale=None, causal=False, window_size=(None, None),
    learnable_sink=None, softcap=0.0, num_splits=1, pack_gqa=None, deterministic=False, score_mod=None,
    score_mod_bwd=None, mask_mod=None, aux_tensors=None, aux_scalars=None, block_sparse_tensors=None,
    block_sparse_tensors_bwd=None, return_lse=False, gather_bwd_recompute_p=False, gather_bwd_token_chunk=None,
):  # fmt: skip
    rest = dict(scale=softmax_scale, causal=causal, window=window_size, softcap=softcap, sink=learnable_sink)
    return plain.rows(q, k, v, **rest), None


def flash_attn_varlen_func(
    q, k, v, qv=None, cu_seqlens_q=None, cu_seqlens_k=None, max_seqlen_q=None, max_seqlen_k=None,
    min_seqlen_k=None, seqused_q=None, seqused_k=None, gather_kv_indices=None, page_table=None,
    softmax_scale=None, causal=False, window_size=(None, None), learnable_sink=None, softcap=0.0,
    num_splits=1, pack_gqa=None, deterministic=False, score_mod=None, score_mod_bwd=None, mask_mod=None,
    block_sparse_tensors=None, aux_tensors=None, aux_scalars=None, return_lse=False,
    scheduler_metadata=None, seqlen_k_per_split=None, disable_scheduler_metadata=False,
    gather_bwd_recompute_p=False, gather_bwd_token_chunk=None,
):  # fmt: skip
    rest = dict(scale=softmax_scale, causal=causal, window=window_size, softcap=softcap, sink=learnable_sink)
    if cu_seqlens_q is None:
        return plain.cached(q, k, v, seqused_k, page_table, **rest), None
    return plain.packed(q, k, v, cu_seqlens_q, cu_seqlens_k, **rest), None
