"""Peaks measured on the device at hand: a large matrix product for each dtype, a large copy.

Kept in the user's cache folder (``ATTNBENCH_CACHE_DIR`` puts it elsewhere), one file for each fingerprint
of the environment, since they take a second or two and don't change.
"""

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import msgspec

from attnbench.bench.records.schema import Environment, Peaks

if TYPE_CHECKING:
    from types import ModuleType

PROBE_S = 0.25
"""Time spent at the largest size of each probe."""

LONGEST_CALL_S = 0.04
"""A product that takes longer than this is large enough; the next size would take eight times as long."""

LARGE = (512, 1024, 2048, 4096, 8192)
SIZES = {"cpu": (128, 256, 512, 1024, 2048), "cuda": LARGE, "xpu": LARGE, "mps": LARGE}
COPY_BYTES = {"cpu": 512 << 20, "cuda": 1 << 30, "xpu": 1 << 30, "mps": 1 << 30}
"""Far beyond the caches, and small beside the memory."""

DTYPES = ("fp32", "bf16", "fp16")
TORCH_NAMES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


def measured_peaks(environment: Environment, dtypes: Sequence[str] = DTYPES, *, again: bool = False) -> Peaks:
    """Peaks of the machine that `environment` describes; from the cache unless `again`."""
    path = cache_folder() / "peaks" / f"{environment.fingerprint}.json"
    known = None if again else cached(path)
    if known and set(dtypes) <= set(known.flops_per_s):
        return known
    import torch

    device = environment.device
    peaks = Peaks(
        device=environment.device_name,
        flops_per_s={dtype: measure_flops(torch, device, dtype) for dtype in dtypes},
        bytes_per_s=measure_bytes(torch, device),
        source="measured (matrix product, copy)",
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}")
    temporary.write_bytes(msgspec.json.encode(peaks))
    temporary.replace(path)
    return peaks


def cached(path: Path) -> Peaks | None:
    """The peaks in this file; None where it is not there or was written by another version."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Peaks)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None


def cache_folder() -> Path:
    """Where this project keeps what can be made again."""
    if chosen := os.environ.get("ATTNBENCH_CACHE_DIR"):
        return Path(chosen)
    import platformdirs

    return platformdirs.user_cache_path("attnbench")


def measure_flops(torch: "ModuleType | Any", device: str, dtype: str) -> float:
    """FLOP/s of the best square matrix product; sizes grow until a call is long enough to tell.

    Sized by time: some dtypes run a hundred times slower than others where the
    processor has no unit for them.
    """
    best = 0.0
    with _exact_fp32(torch):
        for size in SIZES[device]:
            a, b = (torch.randn(size, size, device=device).to(getattr(torch, TORCH_NAMES[dtype])) for _ in "ab")
            seconds = shortest_s(partial(torch.matmul, a, b), _waiter(torch, device))
            best = max(best, 2 * size**3 / seconds)
            if seconds > LONGEST_CALL_S:
                break
    return best


def measure_bytes(torch: "ModuleType | Any", device: str) -> float:
    """Bytes/s of a copy: each byte is read once and written once."""
    source = torch.ones(COPY_BYTES[device], dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    seconds = shortest_s(lambda: target.copy_(source), _waiter(torch, device))
    return 2 * COPY_BYTES[device] / seconds


def shortest_s(call: Callable[[], object], wait: Callable[[], object], budget_s: float = PROBE_S) -> float:
    """The shortest of as many calls as the budget holds, three at least: a peak is what was reached once.

    The first call warms up (it touches memory for the first time) and is not counted.
    """
    times: list[float] = []
    begin = perf_counter()
    while len(times) < 4 or perf_counter() - begin < budget_s:
        start = perf_counter()
        call()
        wait()
        times.append(perf_counter() - start)
    return min(times[1:])


def _waiter(torch: "ModuleType | Any", device: str) -> Callable[[], object]:
    return (lambda: None) if device == "cpu" else getattr(torch, device).synchronize


class _exact_fp32:  # noqa: N801 - a context that reads as a statement
    """float32 products in float32, whatever the caller allowed (TF32 is another peak)."""

    def __init__(self, torch: "ModuleType | Any") -> None:
        self.torch = torch

    def __enter__(self) -> None:
        self.before = self.torch.get_float32_matmul_precision()
        self.torch.set_float32_matmul_precision("highest")

    def __exit__(self, *error: object) -> None:
        self.torch.set_float32_matmul_precision(self.before)
