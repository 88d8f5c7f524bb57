"""Is it right: one implementation on one case, over all input families, with side effects watched."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from time import perf_counter_ns

import msgspec
import torch
from torch import Tensor

from attnbench.bench.agreement.compare import compare
from attnbench.bench.agreement.effects import effects
from attnbench.bench.agreement.families import FAMILIES
from attnbench.bench.agreement.hints import gradient_hint, hint, lse_hint, same_as_before
from attnbench.bench.agreement.inputs import applies, make_inputs
from attnbench.bench.agreement.judging_device import inputs_on_judging_device, on_judging_device
from attnbench.bench.agreement.observe import global_state, observe, restored, streams_of
from attnbench.bench.agreement.oracle import Expectation, Oracle
from attnbench.bench.agreement.properties import PROPERTIES, try_properties
from attnbench.bench.agreement.relaxed import relaxed
from attnbench.bench.agreement.rows import restricted
from attnbench.bench.agreement.small_cases import probe, small
from attnbench.bench.records.schema import Agreement, Check, Comparison, KnownLimit
from attnbench.impls.contract import Call, Case, Implementation, Inputs, Outputs, Refusal, Window


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
    properties: Sequence[str] = tuple(PROPERTIES),
    surroundings: bool = True,
    thorough: bool = True,
) -> Checked:
    """Compare `implementation` with the float64 reference on `case`; raises Refusal where it can't do the case.

    Side effects are watched on the first of `families`; properties, and the side effects that need
    several inputs, are tried on a small case of the same kind. Without `surroundings` no setting of the process
    is changed around a call (default dtype, allocations): torch.compile would compile again for each change,
    which takes too long. Without `thorough`, the comparisons and the side effects of one call are all there is.
    Raises Refusal, too, where none of `families` applies to the case.
    """
    if reason := implementation.supports(case, oracle.device):
        raise Refusal(reason)
    asked = case.under(implementation.conventions)
    if asked.conventions.empty_rows == "nan" and asked.direction != "fwd":
        raise Refusal("a row that sees no key gives NaN, as declared, and so do gradients")
    case, under = asked, asked.conventions.changed
    if isinstance(case.mask, Window):
        under |= {name: value for name, value in implementation.conventions.changed.items() if name == "window"}
    oracle = relaxed(oracle, implementation.budget_factor)
    if case.dropout:
        return _by_statistics(implementation, case, oracle.device, seed)
    if not list(plan(case, families, implementation)):
        raise Refusal(f"none of the families {', '.join(families) or '(none given)'} applies to this case")
    with torch.random.fork_rng(devices=[] if oracle.device == "cpu" else None):
        found = _declared(_check(implementation, case, oracle, seed, families), under)
        if not thorough or not found.agreement.comparisons:
            return found
        little, guarded = small(case, implementation, oracle.device), _guarded(implementation)
        try:
            more = effects(guarded, little, oracle, seed, surroundings=surroundings)
        except Refusal:  # it takes the case, and not the smaller one
            little = case
            more = effects(guarded, little, oracle, seed, surroundings=surroundings)
        more += try_properties(guarded, little, oracle, seed, properties)
        agreement = msgspec.structs.replace(found.agreement, checks=(*found.agreement.checks, *more))
        return replace(found, agreement=agreement)


def _declared(found: Checked, under: dict[str, str]) -> Checked:
    """`found` with the conventions that it was judged under; the LSE's base only where there is an LSE."""
    lse = any(comparison.output == "lse" for comparison in found.agreement.comparisons)
    shown = {name: value for name, value in under.items() if lse or not name.startswith("lse")}
    return replace(found, agreement=msgspec.structs.replace(found.agreement, conventions=shown))


def _check(
    implementation: Implementation,
    case: Case,
    oracle: Oracle,
    seed: int,
    families: Sequence[str],
) -> Checked:
    guarded = _guarded(implementation)
    comparisons: list[Comparison] = []
    given: list[Tensor] = []
    checks: tuple[Check, ...] = ()
    first_call_ns = 0.0
    for family, shaped in plan(case, families, implementation):
        wanted = oracle.expect(shaped, family, seed)
        inputs = _differentiable(restricted(make_inputs(shaped, family, seed, oracle.device), wanted.rows))
        start = perf_counter_ns()
        with (guarded if checks else implementation).bound(inputs) as call:
            if not checks:
                timed = _FirstCall(call, start, oracle.device)
                seen = observe(timed, inputs, streams_of(oracle.device))
                outputs, checks, first_call_ns = seen.outputs, seen.checks, timed.first_call_ns
                if not checks[0].ok:
                    return Checked(Agreement(comparisons=(), checks=checks), first_call_ns)
            else:
                outputs = call()
            found = list(_compared(inputs, outputs, family, wanted, () if family == "views" else given))
            if family == "poison" and may_read_padding(implementation, case):
                found, padding = _padding_read(found)
                checks += (padding,)
            comparisons += found
            given.append(outputs.out.detach())
    limits = tuple(_limits(implementation, comparisons))
    return Checked(Agreement(comparisons=tuple(comparisons), checks=checks, known_limits=limits), first_call_ns)


def _guarded(implementation: Implementation) -> Implementation:
    """`implementation`, whose calls leave the settings of the process as they were."""
    return replace(implementation, prepare=_putting_back(implementation.prepare))


def _putting_back(prepare: Callable[[Inputs], Call]) -> Callable[[Inputs], Call]:
    """`prepare` whose calls restore settings and derived tensors: one finding must not cause others."""

    def prepare_guarded(inputs: Inputs) -> Call:
        state, call = global_state(), prepare(inputs)
        kept = {name: x.clone() for name, x in inputs.derived.items()}

        def guarded() -> Outputs:
            outputs = call()
            restored(state)
            for name, x in kept.items():
                inputs.derived[name].copy_(x)
            return outputs

        return guarded

    return prepare_guarded


def plan(
    case: Case, families: Sequence[str], implementation: Implementation | None = None
) -> Iterator[tuple[str, Case]]:
    """Which case each family runs on: the case itself for ``normal``, a smaller one for the others if it is large.

    Without an implementation, every family that some implementation may need.
    """
    strided = implementation is None or "strided" in implementation.features
    for family in families:
        if family == "normal":
            yield family, case
        elif applies(family, case) and (family != "views" or strided):
            yield family, probe(case)


class _FirstCall:
    """A call whose first time is noted, from when its preparation began until its device was done."""

    def __init__(self, call: Call, start_ns: int, device: str) -> None:
        self.call, self.start_ns, self.device = call, start_ns, device
        self.first_call_ns = 0.0

    def __call__(self) -> Outputs:
        outputs = self.call()
        if not self.first_call_ns:
            if self.device != "cpu":
                torch.accelerator.synchronize()
            self.first_call_ns = perf_counter_ns() - self.start_ns
        return outputs


def _differentiable(inputs: Inputs) -> Inputs:
    """The same tensors as leaves of a graph, where the case has a backward."""
    if inputs.dout is not None:
        for x in (inputs.q, inputs.k, inputs.v):
            x.requires_grad_()
    return inputs


def _compared(
    inputs: Inputs, outputs: Outputs, family: str, wanted: Expectation, given: Sequence[Tensor]
) -> Iterator[Comparison]:
    """Each output compared with its target; a failure gets a hint. `given` are the outputs of earlier families."""
    rows, targets = wanted.rows, wanted.targets
    found = compare("out", family, outputs.out, targets["out"], rows)
    if not found.ok:
        words = same_as_before(given, outputs.out) or hint(
            inputs_on_judging_device(inputs), rows, on_judging_device(outputs.out), targets["out"]
        )
        found = msgspec.structs.replace(found, hint=words)
    yield found
    if outputs.lse is not None:
        lse = outputs.lse
        if inputs.case.conventions.empty_rows != "zero":  # what such a row's LSE is, no convention says
            nothing = torch.where(targets["lse"].expected == -torch.inf, True, False).to(lse.device)
            lse = lse.detach().clone()
            lse[:, :, rows] = lse[:, :, rows].masked_fill(nothing, -torch.inf)
        found = compare("lse", family, lse, targets["lse"], rows)
        if not found.ok:
            found = msgspec.structs.replace(
                found, hint=lse_hint(on_judging_device(outputs.lse), rows, targets["lse"], inputs.sinks)
            )
        yield found
    if inputs.dout is not None:
        grads = gradients(inputs, outputs)
        for name, grad in grads.items():
            found = compare(name, family, grad, targets[name], rows if name == "dq" else None)
            if not found.ok:
                words = gradient_hint(
                    inputs_on_judging_device(inputs), rows, name, on_judging_device(grad), targets[name]
                )
                found = msgspec.structs.replace(found, hint=words)
            yield found


def gradients(inputs: Inputs, outputs: Outputs) -> dict[str, Tensor]:
    """dq, dk and dv of the output's graph (0 where it does not reach an input); Refusal where there is none."""
    if outputs.out.grad_fn is None:
        raise Refusal("its output carries no graph, so that it has no backward")
    leaves = (inputs.q, inputs.k, inputs.v)
    grads = torch.autograd.grad(outputs.out, leaves, inputs.dout, materialize_grads=True)
    return dict(zip(("dq", "dk", "dv"), grads, strict=True))


READS_PADDING = "reads padding"


def may_read_padding(implementation: Implementation, case: Case) -> bool:
    """Whether reading what stands in padding is told and no more: padded rows are the caller's own memory.

    What lies beyond a cache's fill or in an unused page is nobody's, and may never be read.
    """
    return case.layout.feature == "padded" and "poison" not in implementation.known_limits


def _padding_read(comparisons: Sequence[Comparison]) -> tuple[list[Comparison], Check]:
    """Comparisons that NaN in the padding did not reach, and what is to be said of the others."""
    reached = [c for c in comparisons if not c.ok and c.got == "nan"]
    if not reached:
        return list(comparisons), Check(name=READS_PADDING, ok=True, required=False)
    words = (
        f"reads padding: NaN that stands there reaches {', '.join(c.output for c in reached)}, "
        "since a hidden key's weight of 0 times NaN is NaN; it is right where padding holds numbers"
    )
    left = [c for c in comparisons if c not in reached]
    return left, Check(name=READS_PADDING, ok=False, required=False, detail=words)


def _limits(implementation: Implementation, comparisons: Sequence[Comparison]) -> Iterator[KnownLimit]:
    """Declared limits on families that were run, and whether each was seen."""
    ran = dict.fromkeys(comparison.family for comparison in comparisons)
    for family, reason in implementation.known_limits.items():
        if family in ran:
            seen = any(not c.ok for c in comparisons if c.family == family)
            yield KnownLimit(family=family, reason=reason, seen=seen)


def _by_statistics(implementation: Implementation, case: Case, device: str, seed: int) -> Checked:
    """Judge dropout by its statistics, since a single call has no expected output."""
    from attnbench.bench.agreement.dropout import check_dropout

    start = perf_counter_ns()
    implementation.run(make_inputs(case, "normal", seed, device))
    if device != "cpu":
        torch.accelerator.synchronize()
    first_call_ns = float(perf_counter_ns() - start)
    checks = check_dropout(implementation, case, seed=seed, device=device)
    return Checked(Agreement(comparisons=(), checks=checks), first_call_ns)
