"""One case: everything that decides what attention must compute, and nothing else."""

import re
from decimal import Decimal
from typing import Literal, get_args

import msgspec

from attnbench.impls.contract.conventions import (
    DEFAULT,
    ConventionError,
    Conventions,
    conventions_of,
    parse_conventions,
)
from attnbench.impls.contract.layouts import AnyLayout, Dense, Packed, Segment, parse_layout
from attnbench.impls.contract.masks import AnyMask, Full, parse_mask

Dtype = Literal["fp16", "bf16", "fp32"]
Direction = Literal["fwd", "bwd", "fwd+bwd"]
Bias = Literal["none", "alibi", "additive"]
Strides = Literal["bhmd", "bmhd", "shared"]

DTYPES: tuple[str, ...] = get_args(Dtype)
DIRECTIONS: tuple[str, ...] = get_args(Direction)
BIASES: tuple[str, ...] = get_args(Bias)
STRIDES: tuple[str, ...] = get_args(Strides)
DTYPE_BYTES = {"fp16": 2, "bf16": 2, "fp32": 4}
ID_LEGEND = {
    "b2": "batch",
    "h32": "query heads",
    "kv8": "key/value heads, where they are fewer (GQA; kv1 is MQA)",
    "s512": "sequence length, where there are as many keys as queries",
    "q1-k4096": "queries and keys, where their numbers differ",
    "d128": "head_dim of q and k",
    "dv64": "head_dim of v, where it differs",
    "causal": "mask: full, causal, window:LEFT:RIGHT, prefix:KEYS or blocks:...",
    "padded:4096/70": "layout, unless dense: padded, packed, cache or paged, with its lengths",
    "scale0.3": "softmax scale, unless 1 / sqrt(head_dim)",
    "cap30": "softcap",
    "alibi": "bias: alibi or additive",
    "sinks": "attention sinks: one more logit a head",
    "drop0.1": "dropout probability",
    "bf16": "dtype: fp16, bf16 or fp32",
    "bwd": "direction, unless forward: bwd or fwd+bwd",
    "bmhd": "memory order of the axes, unless [B, H, M, D]; `shared`: keys and values with stride 0, as `expand` leaves them",
}
"""The parts of a case id in order, each as an example with its meaning; without ``s512`` they make an id."""


class CaseError(ValueError):
    """A combination that can't be built; the message names the rule it breaks."""


class Case(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Shapes, dtype, mask, layout, score changes and direction of one attention call.

    `kv_len` is the longest run of keys that exists: what is filled of a cache,
    not its capacity. `scale` None is ``1 / sqrt(head_dim)``. `strides` names the
    order of the axes in memory; shapes are always ``[B, H, M, D]``. With ``shared`` all heads of k are one in
    memory (stride 0), as ``expand`` leaves them, and all batch rows of v, or its heads where rows end differently.
    """

    batch: int = 1
    q_heads: int
    kv_heads: int
    q_len: int
    kv_len: int
    head_dim: int
    v_head_dim: int
    dtype: Dtype = "fp32"
    mask: AnyMask = msgspec.field(default_factory=Full)
    layout: AnyLayout = msgspec.field(default_factory=Dense)
    scale: float | None = None
    softcap: float | None = None
    bias: Bias = "none"
    sinks: bool = False
    dropout: float = 0.0
    direction: Direction = "fwd"
    strides: Strides = "bhmd"
    conventions: Conventions = DEFAULT

    def __post_init__(self) -> None:
        if problem := self._problem():
            raise CaseError(problem)

    def _problem(self) -> str | None:
        for name in ("batch", "q_heads", "kv_heads", "q_len", "kv_len", "head_dim", "v_head_dim"):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1:
                return f"{name} must be a whole number, 1 or more, not {getattr(self, name)!r}"
        if self.q_heads % self.kv_heads:
            return f"kv_heads {self.kv_heads} does not divide q_heads {self.q_heads}"
        for name, allowed in _CHOICES:
            if getattr(self, name) not in allowed:
                return f"{name} {getattr(self, name)!r} is not one of {', '.join(allowed)}"
        if self.softcap is not None and not 0 < self.softcap < float("inf"):
            return f"softcap must be a positive number, not {self.softcap}"
        if self.scale is not None and not 0 < self.scale < float("inf"):
            return f"scale must be a positive number, not {self.scale}"
        if not 0 <= self.dropout < 1:
            return f"dropout must be at least 0 and below 1, not {self.dropout}"
        if self.direction != "fwd" and self.layout.feature in ("cache", "paged"):
            return f"a {self.layout.feature} layout is for inference: direction {self.direction} has no meaning"
        if isinstance(self.layout, Packed) and self.bias == "additive":
            return "an additive bias over packed documents has no common form; use alibi"
        return self.mask.problem() or self.layout.problem(self.batch, self.q_len, self.kv_len)

    @property
    def groups(self) -> int:
        """Query heads that share one key/value head (GQA ratio)."""
        return self.q_heads // self.kv_heads

    @property
    def score_scale(self) -> float:
        """What q.k is multiplied with."""
        return self.head_dim**-0.5 if self.scale is None else self.scale

    @property
    def segments(self) -> tuple[Segment, ...]:
        """Runs of queries with the keys they may see."""
        found = self.layout.segments(self.batch, self.q_len, self.kv_len)
        if self.conventions.causal == "top-left" and self.layout.feature not in ("cache", "paged"):
            return tuple(segment._replace(offset=0) for segment in found)
        return found

    def under(self, conventions: Conventions) -> "Case":
        """The case with those of `conventions` that change what it must give; itself where none does."""
        if conventions == DEFAULT:
            return self
        case = msgspec.structs.replace(self, conventions=Conventions(causal=conventions.causal))
        places = not isinstance(self.mask, Full) or self.bias == "alibi"
        aligned = places and case.segments != self.segments
        chosen: dict[str, str] = {"causal": conventions.causal} if aligned else {}
        if not self.sinks and (case if aligned else self).has_empty_rows:
            chosen["empty_rows"] = conventions.empty_rows
        if self.softcap is not None and self.bias != "none":
            chosen["softcap"] = conventions.softcap
        if self.sinks:
            chosen["lse_sinks"] = conventions.lse_sinks
        chosen["lse_base"] = conventions.lse_base
        return msgspec.structs.replace(self, conventions=conventions_of(chosen))

    @property
    def has_empty_rows(self) -> bool:
        """Whether some query sees no key."""
        covered = [0] * self.batch
        for row, _, q_len, _, k_len, offset in self.segments:
            covered[row] += q_len
            if not all(self.mask.sees_any(i + offset, k_len) for i in range(q_len)):
                return True
        return min(covered) < self.q_len

    @property
    def pairs(self) -> int:
        """Exact number of visible (query, key) pairs over the batch, for one head."""
        if isinstance(self.layout, Dense) and self.conventions == DEFAULT:
            return self.batch * self.mask.pairs(self.q_len, self.kv_len, self.kv_len - self.q_len)
        return sum(self.mask.pairs(s.q_len, s.k_len, s.offset) for s in self.segments)

    @property
    def phase(self) -> str:
        """``decode`` (one query a row), ``prefill`` (M = N), ``chunk`` (M < N) or ``cross`` (M > N).

        Packed documents of several phases are ``mixed``.
        """
        if not isinstance(self.layout, Packed):
            return _phase(self.q_len, self.kv_len)
        phases = {_phase(segment.q_len, segment.k_len) for segment in self.segments}
        return phases.pop() if len(phases) == 1 else "mixed"

    @property
    def features(self) -> frozenset[str]:
        """What an implementation must be able to do for this case, beyond full dense MHA forward."""
        present = {
            self.mask.feature: not isinstance(self.mask, Full),
            self.layout.feature: not isinstance(self.layout, Dense),
            "gqa": self.groups > 1,
            "q_len != kv_len": self.q_len != self.kv_len,
            "v_head_dim": self.v_head_dim != self.head_dim,
            "scale": self.scale is not None,
            "softcap": self.softcap is not None,
            self.bias: self.bias != "none",
            "sinks": self.sinks,
            "dropout": self.dropout > 0,
            "backward": self.direction != "fwd",
            "strided": self.strides != "bhmd",
        }
        return frozenset(name for name, here in present.items() if here)

    @property
    def id(self) -> str:
        """Short, stable and readable; :func:`parse_case` reads it back."""
        square = self.q_len == self.kv_len
        parts = [
            f"b{self.batch}",
            f"h{self.q_heads}",
            "" if self.groups == 1 else f"kv{self.kv_heads}",
            f"s{self.q_len}" if square else f"q{self.q_len}-k{self.kv_len}",
            f"d{self.head_dim}",
            "" if self.v_head_dim == self.head_dim else f"dv{self.v_head_dim}",
            self.mask.spec,
            "" if isinstance(self.layout, Dense) else self.layout.spec,
            "" if self.scale is None else f"scale{_plain(self.scale)}",
            "" if self.softcap is None else f"cap{_plain(self.softcap)}",
            "" if self.bias == "none" else self.bias,
            "sinks" if self.sinks else "",
            f"drop{_plain(self.dropout)}" if self.dropout else "",
            self.dtype,
            "" if self.direction == "fwd" else self.direction,
            "" if self.strides == "bhmd" else self.strides,
        ]
        under = ",".join(f"{name}={value}" for name, value in self.conventions.changed.items())
        return "-".join(part for part in parts if part) + (f"@{under}" if under else "")


_CHOICES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("dtype", DTYPES),
    ("direction", DIRECTIONS),
    ("bias", BIASES),
    ("strides", STRIDES),
)

_NUMBER = re.compile(r"(b|h|kv|s|q|k|d|dv)(\d+)")
_FLOAT = re.compile(r"(scale|cap|drop)(\d+(?:\.\d+)?)")
_NAMES = {
    "b": "batch",
    "h": "q_heads",
    "kv": "kv_heads",
    "q": "q_len",
    "k": "kv_len",
    "d": "head_dim",
    "dv": "v_head_dim",
    "scale": "scale",
    "cap": "softcap",
    "drop": "dropout",
}
_LAYOUTS = ("padded", "packed", "cache", "paged")


def parse_case(text: str) -> Case:
    """The case that an id names; raises CaseError naming the part that is wrong."""
    fields: dict[str, object] = {}
    plain, _, under = text.strip().partition("@")
    if under:
        try:
            fields["conventions"] = parse_conventions(under)
        except ConventionError as error:
            raise CaseError(f"case id {text!r}: {error}") from error
    for part in plain.split("-"):
        found = _field(part, text)
        if again := fields.keys() & found.keys():
            raise CaseError(f"case id {text!r}: {part!r} says {min(again)} a second time")
        fields |= found
    fields.setdefault("kv_heads", fields.get("q_heads"))
    fields.setdefault("v_head_dim", fields.get("head_dim"))
    needed = ("q_heads", "q_len", "kv_len", "head_dim")
    if missing := [name for name in needed if fields.get(name) is None]:
        raise CaseError(
            f"case id {text!r} lacks {', '.join(missing)} (an id looks like b1-h32-kv8-s512-d128-causal-bf16)"
        )
    return Case(**fields)  # type: ignore[arg-type]  # each value was made by the parser of its own field


def _field(part: str, text: str) -> dict[str, object]:
    if number := _NUMBER.fullmatch(part):
        name, value = number[1], int(number[2])
        return {"q_len": value, "kv_len": value} if name == "s" else {_NAMES[name]: value}
    if real := _FLOAT.fullmatch(part):
        return {_NAMES[real[1]]: float(real[2])}
    if part == "sinks":
        return {"sinks": True}
    for name, allowed in _CHOICES:
        if part in allowed:
            return {name: part}
    try:
        if part.split(":", maxsplit=1)[0] in _LAYOUTS:
            return {"layout": parse_layout(part)}
        return {"mask": parse_mask(part)}
    except ValueError as error:
        raise CaseError(f"case id {text!r}: {part!r} is not a part of a case id ({error})") from error


def _phase(q_len: int, kv_len: int) -> str:
    if q_len == 1:
        return "decode"
    if q_len == kv_len:
        return "prefill"
    return "chunk" if q_len < kv_len else "cross"


def _plain(value: float) -> str:
    """A decimal without exponent or sign that reads back as the same float."""
    return format(Decimal(repr(float(value))).normalize(), "f")
