"""What an output must be, and how large its error may be: float64 results with their budgets.

The budget of an output is twice the error of the worse of the two low-precision
references on the same inputs, at least `SIGMAS` standard deviations of the
rounding errors, plus a rounding floor. Nothing is tuned by hand.

For example, ``b1-h4-kv2-s64-d32-causal-bf16`` on normal inputs with seed 0: eager is off by
0.0164 and flash by 0.0077, so twice the worse one is 0.0328; four standard deviations are
0.0419, which is more; the floor is 2 eps max|out| = 2 * 2**-7 * 2.394 = 0.0374. The budget
of the largest error is 0.0419 + 0.0374 = 0.0793.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import NamedTemporaryFile

import torch
from torch import Tensor

from attnbench.bench.agreement.conventions import followed
from attnbench.bench.agreement.error_bands import band_norms
from attnbench.bench.agreement.inputs import make_inputs
from attnbench.bench.agreement.judging_device import inputs_on_judging_device, judging_device
from attnbench.bench.agreement.low_precision_reference import eager, flash
from attnbench.bench.agreement.reference import reference
from attnbench.bench.agreement.rounding import VARIANCE
from attnbench.bench.agreement.rows import judged_rows, restricted
from attnbench.impls.contract import Case, Inputs
from attnbench.impls.contract.tensors import TORCH_DTYPES

REFERENCE_FACTOR = 2.0
FLOOR_ULPS = 2.0
SIGMAS = 4.0
"""Standard deviations of the rounding errors that the budget allows, even if the low-precision references err less."""

VERSION = 4
"""Part of the name of a stored expectation; raise it when what is stored changes."""


KEPT = 128
"""Expectations held in memory."""


@dataclass(frozen=True)
class Target:
    """One output: float64 values, the budget of the largest error, and those of the bands' L2 errors.

    `l2_budgets` and `norms` have the shape that :func:`attnbench.bench.agreement.error_bands.band_norms`
    gives for `expected`: absolute norms, so that an expected 0 has a budget too.
    """

    expected: Tensor
    max_budget: float
    l2_budgets: Tensor
    norms: Tensor


@dataclass(frozen=True)
class Expectation:
    """What one case must give for one family and seed; `rows` ``[R]`` are the judged query rows."""

    rows: Tensor
    targets: dict[str, Target]


def expectation(case: Case, family: str, seed: int, device: str) -> Expectation:
    """Compute what `case` must give; slow for large cases, so ask an :class:`Oracle`."""
    return expect_of(make_inputs(case, family, seed, judging_device(device)), judged_rows(case, seed))


def expect_of(inputs: Inputs, rows: Tensor) -> Expectation:
    """What these very inputs must give on `rows` ``[R]``, gradients included where they hold one."""
    inputs = inputs_on_judging_device(inputs)
    here = rows.to(inputs.q.device)
    inputs = restricted(inputs, here)
    exact = followed(
        {n: x for n, x in vars(reference(inputs, here)).items() if x is not None}, inputs, here, low=False
    )
    low = [followed(form(inputs, here), inputs, here, low=True) for form in (flash, eager)]
    targets = {}
    for name in ("out", "lse", "dq", "dk", "dv"):
        if (expected := exact.get(name)) is not None:
            dtype = "fp32" if name == "lse" else inputs.case.dtype
            variance = low[0][name + VARIANCE]
            targets[name] = _target(expected, [form[name] for form in low], variance, dtype)
    return Expectation(rows.cpu(), targets)


def _target(true: Tensor, lows: list[Tensor], variance: Tensor, dtype: str) -> Target:
    finite = true.isfinite()
    scale = torch.where(finite, true, 0.0)
    eps = torch.finfo(TORCH_DTYPES[dtype]).eps
    norms = band_norms(scale)
    worst, worst_norms = torch.zeros((), dtype=torch.float64, device=true.device), torch.zeros_like(norms)
    for low in lows:
        error = torch.where(finite, low.double() - true, 0.0)
        if error.isfinite().all():  # a form that overflows here sets no budget; the flash form never does
            worst = torch.maximum(worst, error.abs().max())
            worst_norms = torch.maximum(worst_norms, band_norms(error))
    variance = torch.where(finite, variance, 0.0)
    largest = max(REFERENCE_FACTOR * float(worst), SIGMAS * float(variance.max()) ** 0.5)
    budgets = torch.maximum(REFERENCE_FACTOR * worst_norms, _likely_norms(variance))
    return Target(
        expected=true.cpu(),
        max_budget=largest + FLOOR_ULPS * eps * float(scale.abs().max()),
        l2_budgets=(budgets + eps * norms).cpu(),
        norms=norms.cpu(),
    )


def _likely_norms(variance: Tensor) -> Tensor:
    """The norm of each band that independent errors of this variance don't exceed, at `SIGMAS` standard deviations.

    The square of the norm has mean ``sum(var)`` and standard deviation ``sqrt(2 sum(var ** 2))`` over
    rows; the factor gives `SIGMAS` standard deviations for a band in which one row dominates.
    """
    rows = variance.double().flatten(3).sum(-1) if variance.ndim == 4 else variance.double()
    mean, spread = band_norms(rows.sqrt(), like=variance.shape).square(), band_norms(rows, like=variance.shape)
    return (mean + (SIGMAS**2 - 1) * spread).sqrt()


class Oracle:
    """Float64 results with budgets, each computed once and kept in `folder`, so that implementations share them."""

    def __init__(self, folder: Path | None = None, device: str = "cpu") -> None:
        self.folder, self.device = folder, device
        self._kept: OrderedDict[str, Expectation] = OrderedDict()

    def expect(self, case: Case, family: str, seed: int) -> Expectation:
        """What `case` must give for this family and seed; ``views`` has the values of ``normal``."""
        family = "normal" if family == "views" else family
        return self.once(f"{case.id}|{family}|{seed}", lambda: expectation(case, family, seed, self.device))

    def once(self, name: str, compute: Callable[[], Expectation]) -> Expectation:
        """The expectation called `name`, computed if it is not known; the name must determine the values."""
        if name in self._kept:
            self._kept.move_to_end(name)
            return self._kept[name]
        found = self._kept[name] = compute() if self.folder is None else self._stored(self.folder, name, compute)
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return found

    def _stored(self, folder: Path, name: str, compute: Callable[[], Expectation]) -> Expectation:
        path = folder / f"{sha256(f'{VERSION}|{name}'.encode()).hexdigest()[:32]}.pt"
        if path.exists():
            return _load(path)
        found = compute()
        _save(found, path)
        return found


def _save(found: Expectation, path: Path) -> None:
    """Store whole or not at all: other processes may read meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=path.parent, delete=False) as file:
        torch.save((found.rows, {name: vars(target) for name, target in found.targets.items()}), file)
    Path(file.name).replace(path)


def _load(path: Path) -> Expectation:
    rows, targets = torch.load(path, mmap=True)
    return Expectation(rows, {name: Target(**fields) for name, fields in targets.items()})
