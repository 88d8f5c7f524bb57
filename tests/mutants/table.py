"""The planted defects: where each lies, the case that shows it, and the check that must catch it.

A defect is a plain function, ``tests/mutants/kernels/FILE.py:NAME``; ``FILE.py:honest``
is the same kernel with the defect mended. `by` names what must catch it:
``FAMILY/OUTPUT`` of a comparison, or the name of a property or side effect.
"""

import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

KERNELS = Path(__file__).parent / "kernels"

CAUSAL = "b1-h4-kv2-s64-d32-causal-bf16"
SINGLE = "b1-h4-kv2-s64-d32-causal-fp32"
CHUNK = "b1-h4-kv2-q40-k100-d32-causal-bf16"
FULL = "b1-h4-kv2-s70-d32-full-bf16"
WINDOW = "b1-h2-s90-d32-window:15:3-bf16"
PADDED = "b3-h2-s70-d32-full-padded:70/40/7-bf16"
TILED = "b1-h2-s200-d32-causal-bf16"
LONG = "b1-h1-q16-k16384-d32-full-bf16"
EMPTY = "b1-h2-q70-k33-d32-causal-fp32"
BACKWARD = "b1-h4-kv2-s70-d32-causal-bf16-bwd"
CACHE = "b3-h4-kv2-q5-k70-d32-causal-cache:128:70/40/17-bf16"
PAGED = "b2-h4-kv2-q3-k70-d32-causal-paged:16:70/40-bf16"
PACKED = "b1-h2-s90-d32-causal-packed:33/1/56-bf16"
RAGGED = "b1-h2-q60-k100-d32-causal-packed:20/10/30:50/10/40-bf16"


@dataclass(frozen=True)
class Mutant:
    """One planted defect; a `pair` names two features of a case, each of which it does right without the other.

    Without a case, none of today's shows it: a whole check must.
    """

    file: str
    name: str
    group: str
    case: str
    by: str
    pair: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """``FILE.py:FUNCTION``, as the command line takes it."""
        return f"{KERNELS / self.file}.py:{self.name}"

    @property
    def alone(self) -> str:
        """The same defect in a kernel that declares only what it needs."""
        return f"{self.path}__alone"

    @property
    def plantings(self) -> tuple[str, ...]:
        """Where it is planted: once, or, where the kernel declares everything, twice."""
        return (self.path, self.alone) if self.twice else (self.path,)

    @property
    def twice(self) -> bool:
        """Whether there is a planting that declares only what the defect needs."""
        return not isinstance(module(self.file).DEFECTS[self.name], str)

    @property
    def mended(self) -> str:
        """The same kernel without the defect."""
        return f"{KERNELS / self.file}.py:honest"

    @property
    def words(self) -> str:
        """What is wrong with it."""
        about = module(self.file).DEFECTS[self.name]
        return about if isinstance(about, str) else about[1]


@cache
def module(file: str) -> ModuleType:
    """The kernel file, imported by itself."""
    spec = importlib.util.spec_from_file_location(f"mutant_{file}", KERNELS / f"{file}.py")
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def _rows(file: str, group: str, *rows: tuple[str, str, str]) -> tuple[Mutant, ...]:
    return tuple(Mutant(file, name, group, case, by) for name, case, by in rows)


MUTANTS: tuple[Mutant, ...] = (
    *_rows(
        "eager",
        "masks",
        ("tutorial_triangle", CAUSAL, "normal/out"),
        ("no_mask", CAUSAL, "causality"),
        ("strict", CAUSAL, "normal/out"),
        ("one_too_many", CAUSAL, "causality"),
        ("mask_after", CAUSAL, "ones"),
        ("mask_after_renormalised", CAUSAL, "spike/out"),
        ("mask_by_zero", CAUSAL, "normal/out"),
        ("weak_fill", CAUSAL, "large/out"),
        ("window_left_off", WINDOW, "normal/out"),
        ("window_right_off", WINDOW, "normal/out"),
        ("window_ignored", WINDOW, "normal/out"),
        ("window_precedence", "b1-h2-s90-d32-window:15:0-bf16", "normal/out"),
        ("padding_ignored", PADDED, "normal/out"),
        ("padding_of_first", PADDED, "normal/out"),
        ("padding_off", PADDED, "normal/out"),
        ("mean_of_empty", EMPTY, "normal/out"),
    ),
    *_rows(
        "eager",
        "alignment",
        ("top_left", CHUNK, "normal/out"),
        ("absolute_offset", EMPTY, "normal/out"),
    ),
    *_rows(
        "eager",
        "grouping",
        ("grouped_modulo", CAUSAL, "grouping"),
        ("values_modulo", CAUSAL, "grouping"),
        ("first_head", CAUSAL, "normal/out"),
        ("batch_row_0", "b2-h2-s64-d32-causal-bf16", "normal/out"),
    ),
    *_rows(
        "eager",
        "scale and scores",
        ("unscaled", CAUSAL, "normal/out"),
        ("scaled_twice", CAUSAL, "normal/out"),
        ("scale_by_d", CAUSAL, "normal/out"),
        ("scale_off", SINGLE, "normal/out"),
        ("scale_ignored", "b1-h2-s64-d32-causal-scale0.3-bf16", "normal/out"),
        ("scale_of_values", "b1-h2-s64-d32-dv64-causal-bf16", "normal/out"),
        ("softcap_ignored", "b1-h2-s64-d32-causal-cap5-bf16", "normal/out"),
        ("softcap_after_bias", "b1-h2-s64-d32-causal-cap5-additive-bf16", "normal/out"),
        ("softcap_unscaled", "b1-h2-s64-d32-causal-cap5-bf16", "normal/out"),
        ("bias_scaled", "b1-h2-s64-d32-causal-additive-bf16", "normal/out"),
        ("bias_of_first_head", "b1-h2-s64-d32-causal-additive-bf16", "normal/out"),
        ("alibi_sign", "b1-h4-s64-d32-causal-alibi-bf16", "normal/out"),
        ("alibi_reversed", "b1-h4-s64-d32-causal-alibi-bf16", "normal/out"),
        ("sinks_ignored", "b1-h4-s64-d32-causal-sinks-bf16", "normal/out"),
        ("sinks_unshifted", "b1-h4-s64-d32-causal-sinks-bf16", "normal/out"),
    ),
    *_rows(
        "eager",
        "precision",
        ("bf16_products", SINGLE, "normal/out"),
        ("tf32_products", SINGLE, "normal/out"),
        ("fp8_weights", CAUSAL, "normal/out"),
        ("half_scores", SINGLE, "normal/out"),
        ("no_max", CAUSAL, "large/out"),
        ("cheap_exp", CAUSAL, "normal/out"),
        ("not_normalised", CAUSAL, "ones"),
    ),
    *_rows(
        "eager",
        "layout",
        ("transposed_out", CAUSAL, "normal/out"),
        ("assumes_contiguous", CAUSAL, "views/out"),
        ("halves_swapped", CAUSAL, "normal/out"),
    ),
    *_rows(
        "tiled",
        "tiles and tails",
        ("tail_dropped", FULL, "normal/out"),
        ("tail_unmasked", FULL, "ones"),
        ("last_key_dropped", LONG, "needle/out"),
        ("diagonal_tile_skipped", TILED, "normal/out"),
        ("tiles_of_top_left", CHUNK, "normal/out"),
        ("one_tile_dropped", LONG, "normal/out"),
        ("values_lag", TILED, "normal/out"),
        ("query_tail_unwritten", TILED, "memory written"),
        ("query_tail_shifted", TILED, "normal/out"),
        ("head_dim_tail", "b1-h2-s64-d40-causal-bf16", "normal/out"),
    ),
    *_rows(
        "tiled",
        "online softmax",
        ("no_rescale", TILED, "growing/out"),
        ("no_rescale_of_sum", TILED, "growing/out"),
        ("maximum_not_carried", TILED, "normal/out"),
        ("empty_tile_nan", "b1-h2-s200-d32-window:15:0-bf16", "normal/out"),
        ("divided_every_tile", TILED, "normal/out"),
        ("exp2_of_natural", TILED, "normal/out"),
        ("lse_base_2", TILED, "normal/lse"),
        ("lse_without_max", TILED, "normal/lse"),
        ("lse_low", TILED, "normal/lse"),
        ("low_sum", "b1-h1-q16-k2048-d32-full-bf16", "ones"),
        ("low_accumulator", TILED, "normal/out"),
        ("split_averaged", FULL, "normal/out"),
        ("split_uncorrected", FULL, "large/out"),
    ),
    *_rows(
        "layouts",
        "caches",
        ("capacity", CACHE, "poison/out"),
        ("capacity_times_zero", CACHE, "poison/out"),
        ("aligned_to_capacity", CACHE, "normal/out"),
        ("first_fill", CACHE, "normal/out"),
        ("fill_off", "b3-h4-kv2-q1-k70-d32-full-cache:128:70/40/17-bf16", "poison/out"),
        ("newest_missing", CACHE, "normal/out"),
    ),
    *_rows(
        "layouts",
        "paging",
        ("table_ignored", PAGED, "normal/out"),
        ("table_of_first", PAGED, "normal/out"),
        ("last_page_whole", "b2-h4-kv2-q1-k70-d32-full-paged:16:70/40-bf16", "poison/out"),
        ("page_size_wrong", PAGED, "normal/out"),
        ("pages_of_keys_only", PAGED, "normal/out"),
    ),
    *_rows(
        "layouts",
        "documents",
        ("documents_leak", PACKED, "normal/out"),
        ("boundary_off", PACKED, "normal/out"),
        ("documents_top_left", RAGGED, "normal/out"),
        ("query_offsets_for_keys", RAGGED, "normal/out"),
        ("last_document_missing", PACKED, "normal/out"),
        ("empty_document_shifts", "b1-h2-q60-k90-d32-full-packed:20/10/30:50/0/40-bf16", "normal/out"),
    ),
    *_rows(
        "grads",
        "gradients",
        ("dq_unscaled", BACKWARD, "normal/dq"),
        ("dk_unscaled", BACKWARD, "normal/dk"),
        ("dq_scaled_twice", BACKWARD, "normal/dq"),
        ("no_delta", BACKWARD, "normal/dq"),
        ("delta_of_values", BACKWARD, "normal/dk"),
        ("mask_forgotten", BACKWARD, "normal/dv"),
        ("mask_top_left", "b1-h4-kv2-q40-k70-d32-causal-bf16-bwd", "normal/dv"),
        ("first_head_of_group", BACKWARD, "normal/dk"),
        ("last_head_of_group", BACKWARD, "normal/dv"),
        ("group_modulo", BACKWARD, "normal/dk"),
        ("tail_dropped", BACKWARD, "normal/dv"),
        ("query_tile_dropped", BACKWARD, "normal/dk"),
        ("softcap_slope", "b1-h2-s64-d32-causal-cap3-bf16-bwd", "normal/dq"),
        ("dout_contiguous", BACKWARD, "views/dq"),
        ("no_gradient_of_v", BACKWARD, "normal/dv"),
        ("transposed", BACKWARD, "normal/dk"),
        ("lse_of_other_rows", BACKWARD, "normal/dv"),
        ("not_zeroed", BACKWARD, "needle/dq"),
        ("float8_dscores", BACKWARD, "normal/dq"),
        ("dv_of_unrounded", BACKWARD, "normal/dv"),
    ),
    *_rows(
        "effects",
        "side effects",
        ("scales_q_in_place", SINGLE, "inputs unchanged"),
        ("masks_v_in_place", SINGLE, "inputs unchanged"),
        ("shared_buffer", SINGLE, "own memory"),
        ("writes_into_q", SINGLE, "own memory"),
        ("cached_by_shape", SINGLE, "fresh results"),
        ("cached_by_address", SINGLE, "fresh results"),
        ("float32_out", CAUSAL, "shape and dtype"),
        ("bmhd_out", SINGLE, "shape and dtype"),
        ("numpy_out", SINGLE, "shape and dtype"),
        ("lse_half", CAUSAL, "shape and dtype"),
        ("unwritten", EMPTY, "memory written"),
        ("reads_unwritten", SINGLE, "memory written"),
        ("draws", SINGLE, "random state"),
        ("reseeds", SINGLE, "random state"),
        ("second_call_wrong", SINGLE, "determinism"),
        ("sets_default_dtype", SINGLE, "global state"),
        ("needs_default_dtype", SINGLE, "default dtype"),
        ("switches_grad_off", SINGLE, "global state"),
        ("switches_threads", SINGLE, "global state"),
        ("precision_lowered", SINGLE, "global state"),
        ("requires_grad", SINGLE, "gradient flags"),
    ),
    *_rows(
        "effects",
        "nondeterminism",
        ("noisy", SINGLE, "random state"),
        ("nondeterministic", SINGLE, "determinism"),
    ),
)
