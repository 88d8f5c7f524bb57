"""Builds 100,000 different cases with their costs and prints how many, and the seconds of CPU time."""

import sys
import time
from itertools import islice, product

from attnbench.impls.contract import Case, cost, parse_layout, parse_mask

MASKS = [
    parse_mask(spec)
    for spec in (
        "full", "causal", "window:4095:0", "window:127:128", "prefix:64",
        "blocks:64:1:1:0:causal", "blocks:128:1:1:4:full",
    )
]  # fmt: skip
LENGTHS = (1, 17, 127, 512, 1000, 4096, 8191, 32768, 65537, 131072)
DTYPES = ("fp16", "bf16", "fp32")


def cases():
    """Every mask against lengths, dtypes, grouping, head dims and layouts, no two alike."""
    shapes = product(LENGTHS, LENGTHS, DTYPES, (1, 2, 4, 8, 32), (64, 80, 96, 128), (4, 8))
    for (q_len, kv_len, dtype, groups, head_dim, batch), mask in product(shapes, MASKS):
        yield Case(
            batch=batch, q_heads=32, kv_heads=32 // groups, q_len=q_len, kv_len=kv_len,
            head_dim=head_dim, v_head_dim=head_dim, dtype=dtype, mask=mask,
        )  # fmt: skip
    for fills, q_len, mask, head_dim in product(range(1, 4096), (1, 16), MASKS, (64, 128)):
        layout = parse_layout(f"cache:4096:{fills}/17")
        yield Case(
            batch=2, q_heads=32, kv_heads=8, q_len=q_len, kv_len=max(fills, 17),
            head_dim=head_dim, v_head_dim=head_dim, mask=mask, layout=layout,
        )  # fmt: skip


def main() -> None:
    """Build, count, time."""
    start = time.process_time()
    flops = [cost(case).flops for case in islice(cases(), 100_000)]
    assert len(flops) == 100_000
    assert "torch" not in sys.modules
    print(f"{len(flops)} {time.process_time() - start:.2f}")


if __name__ == "__main__":
    main()
