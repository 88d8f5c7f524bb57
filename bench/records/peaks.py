"""Peaks of a device, published or measured, and the roofline that they make.

The roofline: a case can't take less time than its FLOPs at the peak rate, nor
than its minimal bytes at the peak bandwidth (Williams, Waterman, Patterson 2009).
A time below that is an error in the measurement or the kernel, not a result.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from attnbench.bench.records.schema import Peaks
from attnbench.impls.contract import Case, cost

Bound = Literal["compute", "memory"]


@dataclass(frozen=True, slots=True)
class Roofline:
    """The least time of one case on one device, and which peak sets it."""

    seconds: float
    bound: Bound

    def share(self, measured_s: float) -> float:
        """How much of the roofline was reached; above 1 is an error somewhere."""
        return self.seconds / measured_s


def roofline(case: Case, peaks: Peaks) -> Roofline | None:
    """The roofline of `case`; None where `peaks` lacks its dtype."""
    if case.dtype not in peaks.flops_per_s:
        return None
    exact = cost(case)
    compute_s = exact.flops / peaks.flops_per_s[case.dtype]
    memory_s = exact.minimal_bytes / peaks.bytes_per_s
    return Roofline(max(compute_s, memory_s), "compute" if compute_s >= memory_s else "memory")


@dataclass(frozen=True, slots=True)
class Product:
    """A GPU as sold: how it is identified, and its published peaks without sparsity.

    `words` must all be in the device's name, one by one and in any order, and none of
    `without`; the number of SMs must be this one (0 is any), and its memory must lie within
    `memory_gb`. `half_tflops` is bf16 and fp16 with float32 accumulation.
    """

    title: str
    words: frozenset[str]
    without: frozenset[str]
    sms: int
    memory_gb: tuple[int, int]
    half_tflops: float
    fp32_tflops: float
    gb_per_s: float

    def matches(self, words: frozenset[str], sms: int | None, memory_bytes: int | None) -> bool:
        """Whether a device with these words in its name and these properties (None is not known) is one."""
        low, high = self.memory_gb
        return (
            self.words <= words
            and not (self.without | PARTS_OF_A_GPU) & words
            and (sms is None or not self.sms or sms == self.sms)
            and (memory_bytes is None or low <= memory_bytes / 1e9 <= high)
        )


PARTS_OF_A_GPU = frozenset({"mig", "laptop", "mobile", "max"})
"""A slice of a GPU, or a slower edition of the same name, has other peaks than the product."""

Row = tuple[str, str, str, int, tuple[int, int], float, float, float]
_ROWS: tuple[Row, ...] = (
    # title, words, without, SMs, memory, bf16, fp32, GB/s: NVIDIA's data sheets, dense
    ("A100 SXM 80 GB", "a100 sxm4 80gb", "", 108, (75, 90), 312, 19.5, 2039),
    ("A100 SXM 40 GB", "a100 sxm4 40gb", "", 108, (38, 45), 312, 19.5, 1555),
    ("A100 PCIe 80 GB", "a100 80gb pcie", "", 108, (75, 90), 312, 19.5, 1935),
    ("A100 PCIe 40 GB", "a100 pcie 40gb", "", 108, (38, 45), 312, 19.5, 1555),
    ("H100 SXM", "h100", "pcie nvl hbm2e 64gb 96gb", 132, (75, 90), 989, 67, 3350),
    ("H100 PCIe", "h100 pcie", "", 114, (75, 90), 756, 51, 2000),
    ("H100 NVL", "h100 nvl", "", 132, (90, 105), 835, 60, 3900),
    ("H200 SXM", "h200", "nvl", 132, (135, 155), 989, 67, 4800),
    ("H200 NVL", "h200 nvl", "", 132, (135, 155), 835, 60, 4800),
    ("B200", "b200", "", 148, (170, 200), 2250, 75, 8000),
    ("L40S", "l40s", "", 142, (44, 52), 362, 91.6, 864),
    ("L4", "l4", "", 58, (21, 26), 121, 30.3, 300),
    ("RTX 4090", "rtx 4090", "d", 128, (22, 26), 165, 82.6, 1008),
)
PRODUCTS = tuple(
    Product(title, frozenset(words.split()), frozenset(without.split()), sms, memory, half, fp32, gb_per_s)
    for title, words, without, sms, memory, half, fp32, gb_per_s in _ROWS
)


def published_peaks(name: str, *, sms: int | None = None, memory_bytes: int | None = None) -> Peaks | None:
    """Published peaks of the GPU of this name and these properties; None where it is none that is known.

    Names differ between drivers and makers, so that words count and not the
    string: "NVIDIA H100 80GB HBM3" is an H100 SXM; "NVIDIA H100 PCIe", "NVIDIA H100
    NVL" and a MIG slice of any are not. Where a property contradicts the name, no figure is given.
    """
    words = frozenset(re.findall(r"[a-z0-9]+", name.lower()))
    found = [product for product in PRODUCTS if product.matches(words, sms, memory_bytes)]
    if len(found) != 1:
        return None
    (product,) = found
    half = product.half_tflops * 1e12
    return Peaks(
        device=product.title,
        flops_per_s={"fp16": half, "bf16": half, "fp32": product.fp32_tflops * 1e12},
        bytes_per_s=product.gb_per_s * 1e9,
        source="published (NVIDIA's data sheet, dense)",
    )


def published_for(hard: Mapping[str, str]) -> Peaks | None:
    """Published peaks of the GPU that an environment's hard facts describe; None for a CPU."""
    if "gpu" not in hard:
        return None
    return published_peaks(
        hard["gpu"], sms=_whole(hard.get("sms")), memory_bytes=_whole(hard.get("gpu_memory_bytes"))
    )


def _whole(text: str | None) -> int | None:
    return int(text) if text else None
