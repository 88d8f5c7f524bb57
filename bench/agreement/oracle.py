"""What an output must be, and how far it may be off: the oracle's results with budgets from the twin.

The budget of an output is twice the error of the low-precision twin on the very
same inputs, judged by the same oracle, plus a rounding floor; for the largest
error and for the relative L2 norm. Nothing is tuned by hand.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from tempfile import NamedTemporaryFile

import torch
from torch import Tensor

from bench.agreement.inputs import make_inputs
from bench.agreement.twin import twin
from impls.contract import Case, Inputs
from impls.reference import reference
from impls.tensors import TORCH_DTYPES

TWIN_FACTOR = 2.0
FLOOR_ULPS = 2.0
ALL_ROWS_UP_TO = 256
"""Longer cases are judged on a sample of rows that holds the ends and the edges of tiles."""

RANDOM_ROWS = 64
EDGE = 64


@dataclass(frozen=True)
class Target:
    """One output: float64 values and the budgets for the largest absolute and the relative L2 error."""

    expected: Tensor
    max_budget: float
    l2_budget: float


@dataclass(frozen=True)
class Expectation:
    """What one case must give for one family and seed; `rows` ``[R]`` are the judged query rows."""

    rows: Tensor
    targets: dict[str, Target]


def judged_rows(case: Case, seed: int) -> Tensor:
    """Rows to judge: all of a short case, else ends, both sides of each tile edge (thinned) and random ones."""
    if case.q_len <= ALL_ROWS_UP_TO or case.direction != "fwd":
        return torch.arange(case.q_len)
    edges = [row for edge in range(EDGE, case.q_len, EDGE) for row in (edge - 1, edge)]
    thinned = edges[:: max(1, len(edges) // RANDOM_ROWS)]
    ends = [0, 1, case.q_len // 2, case.q_len - 2, case.q_len - 1]
    generator = torch.Generator().manual_seed(seed)
    random = torch.randint(case.q_len, (RANDOM_ROWS,), generator=generator)
    rows: Tensor = torch.cat([torch.tensor([*ends, *thinned]), random]).unique()
    return rows


def expectation(case: Case, family: str, seed: int, device: str) -> Expectation:
    """Compute what `case` must give; slow for large cases, so ask an :class:`Oracle`."""
    inputs = make_inputs(case, family, seed, device)
    rows = judged_rows(case, seed).to(device)
    backward = inputs.dout is not None
    true = reference(inputs) if backward else reference(inputs, rows)
    low, low_lse, low_grads = _twin_outputs(inputs, rows)
    targets = {"out": _target(true.out, low, case.dtype), "lse": _target(true.lse, low_lse, "fp32")}
    for name, low_grad in zip(("dq", "dk", "dv"), low_grads, strict=False):
        targets[name] = _target(getattr(true, name), low_grad, case.dtype)
    return Expectation(rows.cpu(), targets)


def _twin_outputs(inputs: Inputs, rows: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
    if inputs.dout is None:
        return *twin(inputs, rows), ()
    leaves = [x.detach().requires_grad_() for x in (inputs.q, inputs.k, inputs.v)]
    q, k, v = leaves
    out, lse = twin(replace(inputs, q=q, k=k, v=v), rows)
    return out.detach(), lse.detach(), torch.autograd.grad(out, leaves, inputs.dout)


def _target(true: Tensor, low: Tensor, dtype: str) -> Target:
    finite = true.isfinite()
    error = torch.where(finite, low.double() - true, 0.0)
    scale = torch.where(finite, true, 0.0)
    eps = torch.finfo(TORCH_DTYPES[dtype]).eps
    norm = float(scale.norm())
    return Target(
        expected=true.cpu(),
        max_budget=TWIN_FACTOR * float(error.abs().max()) + FLOOR_ULPS * eps * float(scale.abs().max()),
        l2_budget=TWIN_FACTOR * float(error.norm()) / norm + eps if norm else 0.0,
    )


class Oracle:
    """Expectations, each computed once and kept in `folder`, so that implementations share them."""

    def __init__(self, folder: Path | None = None, device: str = "cpu") -> None:
        self.folder, self.device = folder, device
        self._compute = lru_cache(maxsize=8)(self._find)

    def expect(self, case: Case, family: str, seed: int) -> Expectation:
        """What `case` must give for this family and seed."""
        return self._compute(case, family, seed)

    def _find(self, case: Case, family: str, seed: int) -> Expectation:
        if self.folder is None:
            return expectation(case, family, seed, self.device)
        from hashlib import sha256

        name = sha256(f"{case.id}|{family}|{seed}".encode()).hexdigest()[:32]
        return kept(self.folder / f"{name}.pt", lambda: expectation(case, family, seed, self.device))


def kept(path: Path, compute: Callable[[], Expectation]) -> Expectation:
    """The expectation stored at `path`, computed and stored whole if it is not there."""
    if not path.exists():
        found = compute()
        with NamedTemporaryFile(dir=path.parent, delete=False) as file:
            torch.save((found.rows, {name: vars(t) for name, t in found.targets.items()}), file)
        Path(file.name).replace(path)
        return found
    rows, targets = torch.load(path, mmap=True)
    return Expectation(rows, {name: Target(**fields) for name, fields in targets.items()})
