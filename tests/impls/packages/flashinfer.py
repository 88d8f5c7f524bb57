"""flashinfer-python 0.7.2's two wrappers, by their signatures."""

import plain
import torch


class BatchPrefillWithRaggedKVCacheWrapper:
    def __init__(
        self, float_workspace_buffer, kv_layout="NHD", use_cuda_graph=False, qo_indptr_buf=None,
        kv_indptr_buf=None, custom_mask_buf=None, mask_indptr_buf=None, backend="auto", jit_args=None,
        jit_kwargs=None, variant_owns_mask=False,
    ):  # fmt: skip
        assert kv_layout == "NHD"
        assert not float_workspace_buffer.any()

    def plan(
        self, qo_indptr, kv_indptr, num_qo_heads, num_kv_heads, head_dim_qk, head_dim_vo=None, custom_mask=None,
        packed_custom_mask=None, causal=False, pos_encoding_mode="NONE", use_fp16_qk_reduction=False,
        window_left=-1, logits_soft_cap=None, sm_scale=None, rope_scale=None, rope_theta=None,
        q_data_type="float16", kv_data_type=None, o_data_type=None, non_blocking=True, prefix_len_ptr=None,
        token_pos_in_items_ptr=None, token_pos_in_items_len=0, max_item_len_ptr=None, fixed_split_size=None,
        disable_split_kv=False, seq_lens=None, seq_lens_q=None, max_token_per_sequence=None,
        max_sequence_kv=None, v_indptr=None, o_indptr=None, uniform_q_len=None,
    ):  # fmt: skip
        self.planned = (num_qo_heads, num_kv_heads, head_dim_qk, q_data_type, kv_data_type)
        self.starts = (qo_indptr, kv_indptr)
        self.rest = dict(scale=sm_scale, causal=causal, window=(window_left, -1), softcap=logits_soft_cap)

    def run(
        self, q, k, v, *args, q_scale=None, k_scale=None, v_scale=None, o_scale=None, out=None, lse=None,
        return_lse=False, lse_base="log2", lse_layout="NH", enable_pdl=None, kv_cache_sf=None,
    ):  # fmt: skip
        assert self.planned == (q.shape[1], k.shape[1], q.shape[2], q.dtype, k.dtype)
        return plain.packed(q, k, v, *self.starts, **self.rest)


class BatchDecodeWithPagedKVCacheWrapper:
    def __init__(
        self, float_workspace_buffer, kv_layout="NHD", use_cuda_graph=False, use_tensor_cores=False,
        paged_kv_indptr_buffer=None, paged_kv_indices_buffer=None, paged_kv_last_page_len_buffer=None,
        backend="auto", jit_args=None,
    ):  # fmt: skip
        assert kv_layout == "HND"

    def plan(
        self, indptr, indices, last_page_len, num_qo_heads, num_kv_heads, head_dim, page_size,
        *deprecated_positional_args, **kwargs,
    ):  # fmt: skip
        assert not deprecated_positional_args
        assert set(kwargs) <= {
            "pos_encoding_mode", "window_left", "window_right", "logits_soft_cap", "q_data_type", "kv_data_type",
            "o_data_type", "data_type", "sm_scale", "rope_scale", "rope_theta", "non_blocking", "seq_lens",
            "block_tables", "fixed_split_size", "disable_split_kv", "q_len_per_req", "is_causal",
        }  # fmt: skip
        assert all(x.dtype == torch.int32 for x in (indptr, indices, last_page_len))
        self.table, self.heads, self.rest = (indptr, indices, last_page_len), (num_qo_heads, num_kv_heads), kwargs
        self.page = page_size

    def run(
        self, q, paged_kv_cache, *args, q_scale=None, k_scale=None, v_scale=None, out=None, lse=None,
        return_lse=False, enable_pdl=None, window_left=None, sinks=None, q_len_per_req=None,
        skip_softmax_threshold_scale_factor=None, kv_cache_sf=None,
    ):  # fmt: skip
        (indptr, indices, last), found = self.table, []
        assert (q.shape[1], paged_kv_cache[0].shape[1], self.page) == (*self.heads, paged_kv_cache[0].shape[2])
        for b in range(len(q)):
            pages = indices[indptr[b] : indptr[b + 1]].long()
            length = (len(pages) - 1) * self.page + last[b]
            k, v = (pool[pages].transpose(1, 2).flatten(0, 1)[:length] for pool in paged_kv_cache)
            rest = dict(scale=self.rest["sm_scale"], window=(self.rest["window_left"], -1))
            found.append(plain.attend(q[b : b + 1], k, v, softcap=self.rest["logits_soft_cap"], **rest)[0])
        return torch.stack(found)
