"""Relations between calls that must hold whatever the values are, tried on a small case.

Budgets. Two calls that must agree are each within the budget B of the same true
value, so they may differ by 2 B and no more; a sum of calls by the sum of their
budgets. Where a property fixes the value itself (V of ones), B alone counts.
Determinism and batch invariance compare bits.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256

import msgspec
import torch
from torch import Tensor

from attnbench.bench.agreement.compare import compare
from attnbench.bench.agreement.inputs import make_inputs
from attnbench.bench.agreement.observe import bits
from attnbench.bench.agreement.oracle import Expectation, Oracle, Target, expect_of
from attnbench.bench.agreement.rows import visible_rows
from attnbench.bench.records.schema import Check, Comparison
from attnbench.impls.contract import Case, Causal, Dense, Full, Implementation, Inputs, Outputs, Paged, Refusal
from attnbench.impls.contract.conventions import DEFAULT
from attnbench.impls.contract.tensors import repeat_heads

ROWS = 64
"""Rows on which a property is judged."""

STRANGE = 8.0
"""Standard deviation of the values put into hidden places."""


@dataclass(frozen=True)
class Subject:
    """One implementation on one small case, with its inputs, outputs and expected outputs."""

    implementation: Implementation
    case: Case
    oracle: Oracle
    seed: int

    @cached_property
    def inputs(self) -> Inputs:
        """The case's normal inputs."""
        return make_inputs(self.case, "normal", self.seed, self.oracle.device)

    @cached_property
    def wanted(self) -> Expectation:
        """The float64 results for them, with budgets."""
        return self.oracle.expect(self.case, "normal", self.seed)

    @cached_property
    def outputs(self) -> Outputs:
        """The implementation's outputs for them."""
        return self.run(self.inputs)

    def expect(self, what: str, inputs: Inputs, rows: Tensor) -> Expectation:
        """What these inputs must give; `what` names how they were made from the case and the seed."""
        name = f"{self.case.id}|{self.seed}|{what}"
        return self.oracle.once(name, lambda: expect_of(inputs, rows))

    def run(self, inputs: Inputs) -> Outputs:
        """Prepare and call; without a graph."""
        return self.implementation.run(inputs)

    def can(self, case: Case) -> bool:
        """Whether the implementation takes `case`."""
        return self.implementation.supports(case, self.oracle.device) is None

    def noise(self, what: str, like: Tensor, scale: float = 1.0) -> Tensor:
        """Normal values shaped as `like`, the same for every implementation; `what` names them."""
        return (torch.randn(like.shape, generator=self.generator(what), dtype=torch.float32) * scale).to(like)

    def generator(self, what: str) -> torch.Generator:
        """Draws called `what`."""
        digest = sha256(f"{self.case.id}|{self.seed}|{what}".encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:7], "little"))


def causality(subject: Subject) -> str | None:
    """Keys and values that the first half of the queries may not see change nothing for them."""
    case, inputs = subject.case, subject.inputs
    if isinstance(case.layout, Paged):
        return None
    rows = torch.arange(max(1, case.q_len // 2), device=inputs.q.device)
    if case.conventions.empty_rows == "mean":  # by that convention, rows without keys depend on what is hidden
        rows = rows[visible_rows(case, rows).any(-1).all(0)[0]]
        if not len(rows):
            return None
    hidden = ~visible_rows(case, rows)[:, 0].any(1)
    if not bool(hidden.any()):
        return None
    k, v = inputs.k.clone(), inputs.v.clone()
    for name, x, scale in (("k", k, 1.0), ("v", v, STRANGE)):
        seen = x[:, :, : case.kv_len]
        seen[:] = torch.where(hidden[:, None, :, None], subject.noise(f"hidden {name}", seen, scale), seen)
    some = rows[:: -(-len(rows) // ROWS)].cpu()
    target = subject.expect("half", replace(inputs, dout=None), some).targets["out"]
    changed = subject.run(replace(inputs, k=k, v=v)).out
    return _unequal(changed, subject.outputs.out[:, :, some], target, some, "when hidden keys and values change")


def key_permutation(subject: Subject) -> str | None:
    """Keys moved together with their values change nothing where no mask or bias depends on their places."""
    case, inputs = subject.case, subject.inputs
    if not (isinstance(case.mask, Full) and isinstance(case.layout, Dense)) or case.bias == "alibi":
        return None
    order = torch.randperm(case.kv_len, generator=subject.generator("order")).to(inputs.k.device)
    bias = None if inputs.bias is None else inputs.bias[..., order]
    moved = subject.run(replace(inputs, k=inputs.k[:, :, order], v=inputs.v[:, :, order], bias=bias)).out
    return _same_as_before(subject, moved, "when keys and values are permuted")


def ones(subject: Subject) -> str | None:
    """Weights sum to 1: where every value is 1, so is every output (0 for a row that sees no key)."""
    if subject.case.sinks:
        return None
    inputs = replace(subject.inputs, v=torch.ones_like(subject.inputs.v), dout=None)
    rows = subject.wanted.rows[:ROWS]
    target = subject.expect("ones", inputs, rows).targets["out"]
    found = compare("out", "ones", subject.run(inputs).out, target, rows)
    return "" if found.ok else f"V of ones gives {found.got} at {found.worst_index}, not {found.expected}"


def linearity(subject: Subject) -> str | None:
    """out(V + W) = out(V) + out(W); V and W are small integers, so that their sum is exact."""
    inputs, rows = replace(subject.inputs, dout=None), subject.wanted.rows[:ROWS]
    v, w = (subject.noise(name, inputs.v, 4.0).round().clamp(-64, 64) for name in "vw")
    outs, targets = [], []
    for name, values in (("v + w", v + w), ("v", v), ("w", w)):
        each = replace(inputs, v=values)
        outs.append(subject.run(each).out)
        targets.append(subject.expect(name, each, rows).targets["out"])
    parts = (outs[1].cpu().double() + outs[2].cpu().double())[:, :, rows]
    whole = replace(
        targets[0],
        expected=parts.cpu(),
        max_budget=sum(t.max_budget for t in targets),
        l2_budgets=torch.stack([t.l2_budgets for t in targets]).sum(0),
    )
    found = compare("out", "linearity", outs[0], whole, rows)
    return "" if found.ok else _words(found, "out(V + W) is not out(V) + out(W)")


def grouping(subject: Subject) -> str | None:
    """Grouped heads give what the same heads, repeated, give."""
    case = msgspec.structs.replace(subject.case, kv_heads=subject.case.q_heads)
    if subject.case.groups == 1 or not subject.can(case):
        return None
    k, v = (repeat_heads(x, subject.case.groups) for x in (subject.inputs.k, subject.inputs.v))
    repeated = subject.run(replace(subject.inputs, case=case, k=k, v=v)).out
    return _same_as_before(subject, repeated, "when the heads of a group are repeated instead of shared")


def split_merge(subject: Subject) -> str | None:
    """Two runs over parts of the keys, merged by their LSE, give the run over all of them."""
    case, inputs = subject.case, subject.inputs
    cut = _cut(case)
    if cut is None or case.sinks or case.bias == "alibi" or subject.outputs.lse is None:
        return None
    ends = ((0, cut, Full()), (cut, case.kv_len, case.mask))
    parts = []
    for low, high, mask in ends:
        part = msgspec.structs.replace(case, kv_len=high - low, mask=mask)
        if not subject.can(part):
            return None
        bias = None if inputs.bias is None else inputs.bias[..., low:high]
        k, v = inputs.k[:, :, low:high], inputs.v[:, :, low:high]
        parts.append(subject.run(replace(inputs, case=part, k=k, v=v, bias=bias)))
    lses = torch.stack([_lse(part) for part in parts])
    shares = torch.softmax(lses, dim=0).unsqueeze(-1)
    merged = sum(share * part.out.cpu().double() for share, part in zip(shares, parts, strict=True))
    assert isinstance(merged, Tensor), "there are two parts"
    apart = float((parts[0].out.cpu().double() - parts[1].out.cpu().double()).abs().max())
    # An error e of one LSE moves a share by e / 4 at most.
    slack = 0.5 * apart * subject.wanted.targets["lse"].max_budget
    return _same_as_before(subject, merged, "when two halves of the keys are merged by their LSE", slack)


def _cut(case: Case) -> int | None:
    """Where the keys may be split such that the left part is seen whole by every query."""
    if not isinstance(case.layout, Dense) or case.kv_len < 2 or case.conventions != DEFAULT:
        return None
    if isinstance(case.mask, Full):
        return case.kv_len // 2
    hidden = case.kv_len - case.q_len
    return hidden if isinstance(case.mask, Causal) and hidden > 0 else None


def _lse(outputs: Outputs) -> Tensor:
    assert outputs.lse is not None, "the whole gave one"
    return outputs.lse.cpu().double()


def backward_determinism(subject: Subject) -> str | None:
    """The same backward twice gives the same bits; atomics in dq are a common and legal reason why not."""
    if subject.inputs.dout is None:
        return None
    first, second = _gradients(subject), _gradients(subject)
    differ = [name for name in first if not torch.equal(bits(first[name]), bits(second[name]))]
    return f"the same backward twice differs in {', '.join(differ)}" if differ else ""


def _gradients(subject: Subject) -> dict[str, Tensor]:
    inputs = subject.inputs
    q, k, v = (x.detach().requires_grad_() for x in (inputs.q, inputs.k, inputs.v))
    out = subject.run(replace(inputs, q=q, k=k, v=v)).out
    grads = torch.autograd.grad(out, (q, k, v), inputs.dout, materialize_grads=True)
    return dict(zip(("dq", "dk", "dv"), grads, strict=True))


def batch_invariance(subject: Subject) -> str | None:
    """A row alone gives the bits that it gives within a batch."""
    case = msgspec.structs.replace(subject.case, batch=3) if isinstance(subject.case.layout, Dense) else None
    if case is None or not subject.can(case):
        return None
    batch = replace(make_inputs(case, "normal", subject.seed, subject.oracle.device), dout=None)
    tensors = {name: x[1:2] for name, x in batch.tensors().items() if name not in ("alibi_slopes", "sinks")}
    alone = subject.run(replace(batch, case=msgspec.structs.replace(case, batch=1), **tensors)).out
    different = int((bits(alone) != bits(subject.run(batch).out[1:2])).sum())
    return f"{different} of {alone.numel()} elements of a row change with the batch around it" if different else ""


@dataclass(frozen=True)
class Property:
    """A property by name; one that is not required is reported and no more."""

    about: str
    holds: Callable[[Subject], str | None]
    required: bool = True


PROPERTIES: dict[str, Property] = {
    "causality": Property("what is hidden changes nothing", causality),
    "key permutation": Property("keys with their values may stand in any order", key_permutation),
    "ones": Property("V of ones gives ones", ones),
    "linearity": Property("the output is linear in V", linearity),
    "grouping": Property("grouped heads equal repeated heads", grouping),
    "split-merge": Property("parts merged by LSE equal the whole", split_merge),
    "backward determinism": Property("the same backward twice gives the same bits", backward_determinism, False),
    "batch invariance": Property("a row alone equals the row in a batch, bit for bit", batch_invariance, False),
}


def try_properties(
    implementation: Implementation, case: Case, oracle: Oracle, seed: int, names: Sequence[str]
) -> tuple[Check, ...]:
    """One check for each of `names` that applies to `case`, which should be small."""
    subject = Subject(implementation, case, oracle, seed)
    checks = []
    for name in names:
        try:
            problem = PROPERTIES[name].holds(subject)
        except Refusal:  # it takes the case, and not the one that the property derives from it
            continue
        if problem is not None:
            detail = f"{problem} (on {case.id})" if problem else ""
            checks.append(Check(name=name, ok=not problem, required=PROPERTIES[name].required, detail=detail))
    return tuple(checks)


def _same_as_before(subject: Subject, got: Tensor, when: str, slack: float = 0.0) -> str:
    """'' where `got` is what the subject's own inputs gave, within two budgets."""
    rows = subject.wanted.rows
    return _unequal(got, subject.outputs.out[:, :, rows], subject.wanted.targets["out"], rows, when, slack)


def _unequal(got: Tensor, other: Tensor, target: Target, rows: Tensor, when: str, slack: float = 0.0) -> str:
    per_cell = got[:, :, rows].numel() / target.l2_budgets.numel()
    doubled = replace(
        target,
        expected=other.detach().cpu().double(),
        max_budget=2 * target.max_budget + slack,
        l2_budgets=2 * target.l2_budgets + slack * per_cell**0.5,
    )
    found = compare("out", "property", got, doubled, rows)
    return "" if found.ok else _words(found, f"the output changes {when}")


def _words(found: Comparison, what: str) -> str:
    return (
        f"{what}: by {float(found.max_error):.3g} at {found.worst_index} (budget {found.max_budget:.3g}), "
        f"relative L2 {float(found.l2_error):.3g} (budget {found.l2_budget:.3g})"
    )
