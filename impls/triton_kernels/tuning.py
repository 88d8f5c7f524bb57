"""Which configuration this GPU likes best: each candidate is timed once a kind of case, and the choice is kept."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import triton
from triton.runtime.errors import OutOfResources

from attnbench.impls.contract import Case
from attnbench.impls.triton_kernels.configs import LAST_RESORT, Config

WARMUP_MS = 10
MEASURE_MS = 40


@dataclass(frozen=True)
class Key:
    """Cases that share a choice: lengths count by their power of two."""

    phase: str
    capability: int
    dtype: str
    head_dims: tuple[int, int]
    features: frozenset[str]
    lengths: tuple[int, int]
    rows: int

    @classmethod
    def of(cls, phase: str, capability: int, case: Case) -> "Key":
        """The key of `case`."""
        return cls(
            phase=phase,
            capability=capability,
            dtype=case.dtype,
            head_dims=(case.head_dim, case.v_head_dim),
            features=case.features - {"backward", "strided", "scale"},
            lengths=(case.q_len.bit_length(), case.kv_len.bit_length()),
            rows=(case.batch * case.q_heads).bit_length(),
        )


_CHOSEN: dict[Key, Config] = {}


def pick(key: Key, candidates: tuple[Config, ...], launch: Callable[[Config], None]) -> Config:
    """The fastest of `candidates` for `key`, timed on first use; the last resort where none has room."""
    if key not in _CHOSEN:
        _CHOSEN[key] = _fastest(candidates, launch) or LAST_RESORT
    return _CHOSEN[key]


def chosen() -> dict[str, str]:
    """Every choice so far, readable: ``{"forward d128 bf16 causal": "128x64-w4-s2"}``."""
    return {_name(key): config.label for key, config in _CHOSEN.items()}


def _fastest(candidates: tuple[Config, ...], launch: Callable[[Config], None]) -> Config | None:
    """Time each candidate; one that the device has no room for is passed over: Triton raises before it launches."""
    taken_ms: dict[Config, float] = {}
    for config in candidates:
        with suppress(OutOfResources):
            taken_ms[config] = _milliseconds(partial(launch, config))
    return min(taken_ms, key=lambda config: taken_ms[config], default=None)


def _milliseconds(call: Callable[[], None]) -> float:
    """Median time of `call` on the current GPU, its compilation not counted."""
    return float(triton.testing.do_bench(call, warmup=WARMUP_MS, rep=MEASURE_MS, return_mode="median"))


def _name(key: Key) -> str:
    sizes = f"d{key.head_dims[0]}" + (f"/{key.head_dims[1]}" if key.head_dims[0] != key.head_dims[1] else "")
    lengths = f"q<2^{key.lengths[0]} k<2^{key.lengths[1]} rows<2^{key.rows}"
    return " ".join([key.phase, f"sm{key.capability}", sizes, key.dtype, *sorted(key.features), lengths])
