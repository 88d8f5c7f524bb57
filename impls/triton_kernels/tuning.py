"""Which configuration this GPU likes best: each candidate is timed once a kind of case, and the choice is kept."""

from collections.abc import Callable
from dataclasses import dataclass

import triton
from triton.runtime.errors import OutOfResources

from impls.contract import Case
from impls.triton_kernels.configs import Config

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
    """The fastest of `candidates` for `key`, timed on first use; raises OutOfResources where none can run."""
    if key not in _CHOSEN:
        _CHOSEN[key] = candidates[0] if len(candidates) == 1 else _fastest(candidates, launch)
    return _CHOSEN[key]


def chosen() -> dict[str, str]:
    """Every choice so far, readable: ``{"forward d128 bf16 causal": "128x64-w4-s2"}``."""
    return {_name(key): config.label for key, config in _CHOSEN.items()}


def _fastest(candidates: tuple[Config, ...], launch: Callable[[Config], None]) -> Config:
    """Time each candidate; one that the device has no room for is passed over (Triton raises before it launches)."""
    taken_ms: dict[Config, float] = {}
    refusal: OutOfResources | None = None
    for config in candidates:
        try:
            taken_ms[config] = triton.testing.do_bench(
                lambda config=config: launch(config), warmup=WARMUP_MS, rep=MEASURE_MS, return_mode="median"
            )
        except OutOfResources as error:
            refusal = error
    if not taken_ms:
        assert refusal is not None, "there is at least one candidate"
        raise refusal
    return min(taken_ms, key=lambda config: taken_ms[config])


def _name(key: Key) -> str:
    sizes = f"d{key.head_dims[0]}" + (f"/{key.head_dims[1]}" if key.head_dims[0] != key.head_dims[1] else "")
    lengths = f"q<2^{key.lengths[0]} k<2^{key.lengths[1]} rows<2^{key.rows}"
    return " ".join([key.phase, f"sm{key.capability}", sizes, key.dtype, *sorted(key.features), lengths])
