"""The feature matrix: for each feature one small case that has it, and what each implementation says of it."""

from dataclasses import dataclass

SPECIMENS: dict[str, str] = {
    "full": "b1-h2-s16-d16-full-fp32",
    "causal": "b1-h2-s16-d16-causal-fp32",
    "window": "b1-h2-s16-d16-window:5:2-fp32",
    "prefix": "b1-h2-s16-d16-prefix:4-fp32",
    "blocks": "b1-h2-s16-d16-blocks:4:1:1:0:causal-fp32",
    "gqa": "b1-h4-kv2-s16-d16-full-fp32",
    "q_len != kv_len": "b1-h2-q5-k16-d16-causal-fp32",
    "v_head_dim": "b1-h2-s16-d16-dv8-full-fp32",
    "strided": "b1-h2-s16-d16-full-fp32-bmhd",
    "scale": "b1-h2-s16-d16-full-scale0.3-fp32",
    "softcap": "b1-h2-s16-d16-full-cap3-fp32",
    "alibi": "b1-h2-s16-d16-causal-alibi-fp32",
    "additive": "b1-h2-s16-d16-full-additive-fp32",
    "sinks": "b1-h2-s16-d16-full-sinks-fp32",
    "padded": "b2-h2-s16-d16-full-padded:16/9-fp32",
    "packed": "b1-h2-s16-d16-causal-packed:9/7-fp32",
    "cache": "b2-h2-q1-k16-d16-causal-cache:24:16x2-fp32",
    "ragged cache": "b2-h2-q1-k16-d16-causal-cache:24:16/9-fp32",
    "paged": "b2-h2-q1-k16-d16-causal-paged:8:16/9-fp32",
    "empty rows": "b1-h2-q8-k4-d16-causal-fp32",
    "backward": "b1-h2-s16-d16-causal-fp32-fwd+bwd",
    "fp16": "b1-h2-s16-d16-full-fp16",
    "bf16": "b1-h2-s16-d16-full-bf16",
}
