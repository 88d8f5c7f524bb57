"""flash_attn_3's public functions (``hopper/flash_attn_interface.py`` of 2.8.3), by their signatures."""

import plain


def flash_attn_func(
    q, k, v, softmax_scale=None, causal=False, qv=None, q_descale=None, k_descale=None, v_descale=None,
    window_size=(-1, -1), attention_chunk=0, softcap=0.0, num_splits=1, pack_gqa=None, deterministic=False,
    sm_margin=0,
):  # fmt: skip
    return plain.rows(q, k, v, scale=softmax_scale, causal=causal, window=window_size, softcap=softcap)


def flash_attn_varlen_func(
    q, k, v, cu_seqlens_q, cu_seqlens_k, max_seqlen_q, max_seqlen_k, seqused_q=None, seqused_k=None,
    softmax_scale=None, causal=False, qv=None, q_descale=None, k_descale=None, v_descale=None,
    window_size=(-1, -1), attention_chunk=0, softcap=0.0, num_splits=1, pack_gqa=None, deterministic=False,
    sm_margin=0,
):  # fmt: skip
    assert max_seqlen_k == (cu_seqlens_k[1:] - cu_seqlens_k[:-1]).max()
    rest = dict(scale=softmax_scale, causal=causal, window=window_size, softcap=softcap)
    return plain.packed(q, k, v, cu_seqlens_q, cu_seqlens_k, **rest)


def flash_attn_with_kvcache(
    q, k_cache, v_cache, k=None, v=None, qv=None, rotary_cos=None, rotary_sin=None, cache_seqlens=None,
    cache_batch_idx=None, cache_leftpad=None, page_table=None, cu_seqlens_q=None, cu_seqlens_k_new=None,
    max_seqlen_q=None, rotary_seqlens=None, q_descale=None, k_descale=None, v_descale=None,
    softmax_scale=None, causal=False, window_size=(-1, -1), attention_chunk=0, softcap=0.0,
    rotary_interleaved=True, scheduler_metadata=None, num_splits=0, pack_gqa=None, sm_margin=0,
    return_softmax_lse=False,
):  # fmt: skip
    rest = dict(scale=softmax_scale, causal=causal, window=window_size, softcap=softcap)
    return plain.cached(q, k_cache, v_cache, cache_seqlens, page_table, **rest)
