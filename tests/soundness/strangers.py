"""Honest kernels as strangers write them, ``FILE.py:FUNCTION``; none may be called wrong.

``EVERYTHING`` declare every keyword parameter and are written apart: tiles with exp2 and a backward in two loops,
keys split and merged by LSE, every step in the input dtype, one query at a time, two passes, whole score matrices,
one row or document at a time, online softmax with FlashAttention's backward.
"""

from pathlib import Path

from attnbench.bench.registry.user_file import load_user_file
from attnbench.impls.contract import Implementation

HERE = Path(__file__).parent / "kernels"
PLANTED = Path(__file__).parents[1] / "mutants" / "kernels"

EVERYTHING: tuple[str, ...] = (
    *(f"{HERE / file}.py:attention" for file in ("tiled_exp2", "split_kv", "input_dtype", "by_query", "two_pass")),
    *(f"{PLANTED / file}.py:honest" for file in ("features", "served", "fused")),
)
SPELLINGS: tuple[str, ...] = tuple(
    f"{HERE / 'spellings'}.py:{name}"
    for name in (
        "softcap_by_sigmoid",
        "softcap_by_exponentials",
        "softcap_by_negative_exponential",
        "sdpa_with_mask",
    )
)

CASES: tuple[str, ...] = (
    "b3-h6-kv2-s40-d36-dv24-causal-scale0.3-fp32-bwd",
    "b1-h12-kv4-q33-k65-d80-full-cap50-fp32-bwd",
    "b2-h6-kv1-q5-k70-d32-window:9:0-cache:80:40/70-cap5-sinks-fp32",
    "b3-h4-kv2-q3-k70-d32-dv48-causal-paged:12:17/70/0-alibi-bf16",
    "b1-h6-kv2-q60-k90-d32-window:9:5-packed:20/10/30:50/0/40-alibi-sinks-bf16-bwd",
    "b3-h2-s40-d32-prefix:7-padded:40/13/0-additive-cap2-fp16-bwd",
    "b1-h2-s70-d32-blocks:16:1:1:0:causal-sinks-additive-bf16-bwd",
    "b2-h4-kv2-q70-k33-d32-causal-sinks-fp32-bwd",
    "b1-h2-q16-k2048-d32-full-bf16",
)
"""Several features at once, beside those of `variants`."""


def strangers() -> tuple[Implementation, ...]:
    """Every honest kernel."""
    return tuple(map(load_user_file, (*EVERYTHING, *SPELLINGS)))
