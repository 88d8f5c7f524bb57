"""What an implementation is: a name, what it can do, and how it is called."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from attnbench.impls.contract.case import Case
from attnbench.impls.contract.conventions import DEFAULT, Conventions

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Tensors of one case, on one device.

    - `q` ``[B, Hq, M, D]``; `k` ``[B, Hkv, N, D]``; `v` ``[B, Hkv, N, Dv]``; any strides.
    - A cache layout has its capacity in place of N; a paged one has k and v as
      pools ``[pages, Hkv, page, D]`` and `block_table` ``[B, pages a row]`` int32.
    - `kv_lengths` ``[B]`` int32: real keys a row (padded, cache, paged).
    - `cu_seqlens_q`, `cu_seqlens_k` ``[documents + 1]`` int32 (packed).
    - `bias` ``[B, Hq, M, N]`` in the case's dtype; `alibi_slopes` ``[Hq]`` float32;
      `sinks` ``[Hq]`` float32, one more logit a row.
    - `dout` ``[B, Hq, M, Dv]``: the gradient that arrives, where the case has a backward.
    - `derived`: tensors that preparing made of the case and hands to the function beside these (a mask), by name:
      what a call must not write into either.
    """

    case: Case
    q: Tensor
    k: Tensor
    v: Tensor
    dout: Tensor | None = None
    kv_lengths: Tensor | None = None
    cu_seqlens_q: Tensor | None = None
    cu_seqlens_k: Tensor | None = None
    block_table: Tensor | None = None
    bias: Tensor | None = None
    alibi_slopes: Tensor | None = None
    sinks: Tensor | None = None
    derived: Any = field(init=False, default_factory=dict)

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor that is there, by field name; not the derived ones."""
        names = [name for name in self.__dataclass_fields__ if name not in ("case", "derived")]
        values = {name: getattr(self, name) for name in names}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class Outputs:
    """`out` ``[B, Hq, M, Dv]`` in the case's dtype; `lse` ``[B, Hq, M]`` float32, natural log, or None."""

    out: Tensor
    lse: Tensor | None = None


Call = Callable[[], Outputs]


class Refusal(Exception):
    """Raised while preparing, where only the backend itself could tell that it can't do a case."""


@dataclass(frozen=True)
class Requirement:
    """A package that must import, the versions that do, and the command that installs it.

    `package` is the name of what is installed, `module` what it is imported as where that differs.
    """

    package: str
    versions: str = ""
    install: str = ""
    module: str = ""

    @property
    def imported(self) -> str:
        """The module that must import."""
        return self.module or self.package


MASKS = frozenset({"causal", "window", "prefix", "blocks"})
LAYOUTS = frozenset({"padded", "packed", "cache", "paged"})
SHAPES = frozenset({"gqa", "q_len != kv_len", "v_head_dim", "strided"})
SCORES = frozenset({"scale", "softcap", "alibi", "additive", "sinks"})
EVERYTHING = MASKS | LAYOUTS | SHAPES | SCORES | {"backward"}
"""Every name that :attr:`Case.features` may hold, but dropout, whose agreement is a matter of statistics."""


ANY_DEVICE = ("cpu", "cuda", "xpu", "mps")
"""Every device there is, for what is written in torch's own operations alone."""


@dataclass(frozen=True, kw_only=True)
class Implementation:
    """One way to compute attention.

    `prepare(inputs)` does what a user does once (masks, plans, layout changes of
    data that would be held in that layout anyway) and returns the call that is
    checked and timed. `features` are the names of :attr:`Case.features` that it
    can do; `refuses` gives further reasons for a no; `lacks` says what a device needs that
    is not set up here (an interpreter), whatever the case. `context` makes what must
    hold around every call (a forced backend). `known_limits` maps an input family
    to the reason why this form is known to fail on it. `never_timed` maps a device to
    the reason why a time taken there would mean nothing (an interpreter, a form for
    debugging): it is checked there, and that is all. `compiled` says that torch compiles it
    anew whenever something around a call changes (the default dtype): that is then left alone.
    `budget_factor` above 1 marks an approximation that its authors declare: its errors are
    judged against that many budgets. `tuned` tells which configurations a tuner chose in this
    process. `refusals` are exceptions by which its own code says that it can't do a case. `conventions`
    are those that it follows, and the reference with it.
    `remark` says what a reader of a record must know, such as which conversions were timed. `broken` is the
    reason why the file that should hold it could not be read.
    """

    name: str
    summary: str
    prepare: Callable[[Inputs], Call]
    features: frozenset[str] = EVERYTHING
    devices: tuple[str, ...] = ("cpu", "cuda")
    dtypes: tuple[str, ...] = ("fp16", "bf16", "fp32")
    requires: tuple[Requirement, ...] = ()
    refuses: Callable[[Case, str], str | None] | None = None
    lacks: Callable[[str], str | None] | None = None
    context: Callable[[], AbstractContextManager[None]] = nullcontext
    known_limits: Mapping[str, str] = field(default_factory=dict)
    never_timed: Mapping[str, str] = field(default_factory=dict)
    compiled: bool = False
    tuned: Callable[[], Mapping[str, str]] | None = None
    budget_factor: float = 1.0
    refusals: tuple[type[BaseException], ...] = ()
    conventions: Conventions = DEFAULT
    remark: str = ""
    broken: str = ""

    def supports(self, case: Case, device: str) -> str | None:
        """Why `case` can't be done on `device` ("cpu", "cuda", "xpu", "mps"); None where it can."""
        if device not in self.devices:
            return f"runs on {' and '.join(self.devices)}, not on {device}"
        if self.lacks and (reason := self.lacks(device)):
            return reason
        if case.dtype not in self.dtypes:
            return f"takes {', '.join(self.dtypes)}, not {case.dtype}"
        if missing := sorted(case.features - self.features):
            return f"does not do {', '.join(missing)}"
        return self.refuses(case, device) if self.refuses else None

    def notes(self, device: str) -> tuple[str, ...]:
        """What every record made on `device` says of this implementation."""
        notes = [self.remark] if self.remark else []
        if self.budget_factor != 1:
            notes.append(f"approximate: judged against {self.budget_factor:g} times the budget, as it declares")
        if device in self.never_timed:
            notes.append(f"not timed: {self.never_timed[device]}")
        return tuple(notes)

    @contextmanager
    def bound(self, inputs: Inputs) -> Iterator[Call]:
        """The prepared call, to be called while this context is open; raises Refusal for one of its `refusals`."""
        try:
            with self.context():
                yield self.prepare(inputs)
        except self.refusals as error:
            raise Refusal(" ".join(str(error).split()) or f"it raises {type(error).__name__}") from error

    def run(self, inputs: Inputs) -> Outputs:
        """Prepare and call once."""
        with self.bound(inputs) as call:
            return call()
