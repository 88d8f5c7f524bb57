"""Is it right: one implementation on one case, over all input families, with side effects watched."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter_ns

import msgspec
import torch

from bench.agreement.compare import compare
from bench.agreement.families import FAMILIES
from bench.agreement.hints import hint
from bench.agreement.inputs import applies, make_inputs
from bench.agreement.observe import observe
from bench.agreement.oracle import Expectation, Oracle
from bench.agreement.relaxed import relaxed
from bench.records.schema import Agreement, Check, Comparison, KnownLimit
from impls.contract import Case, Dense, Implementation, Inputs, Outputs, Refusal

PROBE_HEADS = 2
PROBE_SCORES = 1 << 24
"""Cases with more scores than this run the special families on fewer heads and rows of the batch."""


@dataclass(frozen=True)
class Checked:
    """The agreement, and how long the very first call of this case took (compilation included)."""

    agreement: Agreement
    first_call_ns: float


def check(
    implementation: Implementation,
    case: Case,
    oracle: Oracle,
    *,
    seed: int = 0,
    families: Sequence[str] = tuple(FAMILIES),
) -> Checked:
    """Compare `implementation` with the oracle on `case`; raises Refusal where it can't do the case."""
    if reason := implementation.supports(case, oracle.device):
        raise Refusal(reason)
    oracle = relaxed(oracle, implementation.budget_factor)
    comparisons: list[Comparison] = []
    checks: tuple[Check, ...] = ()
    first_call_ns, default_dtype = 0.0, torch.get_default_dtype()
    for family, shaped in plan(case, families):
        inputs = make_inputs(shaped, family, seed, oracle.device)
        wanted = oracle.expect(shaped, family, seed)
        start = perf_counter_ns()
        with implementation.bound(_differentiable(inputs)) as call:
            if not checks:
                synchronized = _synchronize(call(), oracle.device)
                first_call_ns = perf_counter_ns() - start
                del synchronized
                seen = observe(call, inputs, default_dtype)
                outputs, checks = seen.outputs, seen.checks
                if not checks[0].ok:
                    return Checked(Agreement(comparisons=(), checks=checks), first_call_ns)
            else:
                outputs = call()
            comparisons += _compared(inputs, outputs, family, wanted)
        if any(not one.ok for one in checks):
            break  # what the call left behind would falsify the next family
    limits = tuple(_limits(implementation, comparisons))
    return Checked(Agreement(comparisons=tuple(comparisons), checks=checks, known_limits=limits), first_call_ns)


def plan(case: Case, families: Sequence[str]) -> Iterator[tuple[str, Case]]:
    """Which case each family runs on: the case itself for the first, a lighter one for the rest if it is large."""
    chosen = [family for family in families if family == "normal" or applies(family, case)]
    for family in chosen or ["normal"]:
        yield family, case if family == "normal" else probe(case)


def probe(case: Case) -> Case:
    """`case` with fewer heads and batch rows where it has many scores; lengths, mask and grouping stay."""
    if case.batch * case.q_heads * case.q_len * case.kv_len <= PROBE_SCORES:
        return case
    kv_heads = min(case.kv_heads, PROBE_HEADS)
    batch = case.batch if not isinstance(case.layout, Dense) else 1
    return msgspec.structs.replace(case, batch=batch, kv_heads=kv_heads, q_heads=kv_heads * case.groups)


def _differentiable(inputs: Inputs) -> Inputs:
    """The same tensors as leaves of a graph, where the case has a backward."""
    if inputs.dout is not None:
        for x in (inputs.q, inputs.k, inputs.v):
            x.requires_grad_()
    return inputs


def _synchronize(outputs: Outputs, device: str) -> Outputs:
    if device != "cpu":
        torch.accelerator.synchronize()
    return outputs


def _compared(inputs: Inputs, outputs: Outputs, family: str, wanted: Expectation) -> Iterator[Comparison]:
    """Each output that is there against its target; the first failure gets a hint."""
    rows = wanted.rows
    found = compare("out", family, outputs.out, wanted.targets["out"], rows)
    if not found.ok:
        words = hint(inputs, rows, outputs.out, wanted.targets["out"])
        found = msgspec.structs.replace(found, hint=words)
    yield found
    if outputs.lse is not None:
        yield compare("lse", family, outputs.lse, wanted.targets["lse"], rows)
    if inputs.dout is not None:
        if outputs.out.grad_fn is None:
            raise Refusal("its output carries no graph, so that it has no backward")
        grads = torch.autograd.grad(outputs.out, (inputs.q, inputs.k, inputs.v), inputs.dout)
        for name, grad in zip(("dq", "dk", "dv"), grads, strict=True):
            yield compare(name, family, grad, wanted.targets[name], None)


def _limits(implementation: Implementation, comparisons: Sequence[Comparison]) -> Iterator[KnownLimit]:
    """Declared limits on families that were run, and whether each was seen."""
    ran = dict.fromkeys(comparison.family for comparison in comparisons)
    for family, reason in implementation.known_limits.items():
        if family in ran:
            seen = any(not c.ok for c in comparisons if c.family == family)
            yield KnownLimit(family=family, reason=reason, seen=seen)
