"""flash-attn 2.8.3's public functions, by their signatures."""

import plain


def flash_attn_func(
    q, k, v, dropout_p=0.0, softmax_scale=None, causal=False, window_size=(-1, -1), softcap=0.0,
    alibi_slopes=None, deterministic=False, return_attn_probs=False,
):  # fmt: skip
    return plain.rows(
        q, k, v, scale=softmax_scale, causal=causal, window=window_size, softcap=softcap, slopes=alibi_slopes
    )


def flash_attn_qkvpacked_func(
    qkv, dropout_p=0.0, softmax_scale=None, causal=False, window_size=(-1, -1), softcap=0.0,
    alibi_slopes=None, deterministic=False, return_attn_probs=False,
):  # fmt: skip
    return flash_attn_func(
        *qkv.unbind(2), dropout_p, softmax_scale, causal, window_size, softcap, alibi_slopes, deterministic
    )


def flash_attn_varlen_func(
    q, k, v, cu_seqlens_q, cu_seqlens_k, max_seqlen_q, max_seqlen_k, dropout_p=0.0, softmax_scale=None,
    causal=False, window_size=(-1, -1), softcap=0.0, alibi_slopes=None, deterministic=False,
    return_attn_probs=False, block_table=None,
):  # fmt: skip
    assert max_seqlen_q == (cu_seqlens_q[1:] - cu_seqlens_q[:-1]).max()
    assert max_seqlen_k == (cu_seqlens_k[1:] - cu_seqlens_k[:-1]).max()
    slopes = None if alibi_slopes is None else alibi_slopes[0]
    return plain.packed(
        q, k, v, cu_seqlens_q, cu_seqlens_k,
        scale=softmax_scale, causal=causal, window=window_size, softcap=softcap, slopes=slopes,
    )  # fmt: skip


def flash_attn_with_kvcache(
    q, k_cache, v_cache, k=None, v=None, rotary_cos=None, rotary_sin=None, cache_seqlens=None,
    cache_batch_idx=None, cache_leftpad=None, block_table=None, softmax_scale=None, causal=False,
    window_size=(-1, -1), softcap=0.0, rotary_interleaved=True, alibi_slopes=None, num_splits=0,
    return_softmax_lse=False,
):  # fmt: skip
    return plain.cached(
        q, k_cache, v_cache, cache_seqlens, block_table,
        scale=softmax_scale, causal=causal, window=window_size, softcap=softcap, slopes=alibi_slopes,
    )  # fmt: skip
