"""Which convention an implementation follows, found by comparing a small case with the reference of each."""

from dataclasses import replace
from itertools import product

import msgspec
import torch

from attnbench.bench.agreement.compare import compare
from attnbench.bench.agreement.inputs import make_inputs
from attnbench.bench.agreement.oracle import Oracle, expect_of
from attnbench.bench.agreement.probed import Tried
from attnbench.impls.contract import Case, Conventions, Implementation, Refusal, Window, conventions_of, parse_case
from attnbench.impls.contract.conventions import VALUES

PROBES: dict[str, tuple[str, ...]] = {
    "causal": ("b1-h2-q5-k9-d32-causal", "b1-h2-q9-k5-d32-causal", "b1-h2-q5-k9-d32-window:2:0"),
    "empty_rows": ("b2-h2-s8-d32-full-padded:8/0", "b1-h2-q9-k5-d32-causal", "b1-h2-q9-k4-d32-window:1:0"),
    "window": ("b1-h2-s12-d32-window:3:0",),
    "softcap": ("b1-h2-s8-d32-full-cap2-additive",),
    "lse_base": ("b1-h2-s8-d32-full", "b1-h2-s8-d32-causal"),
    "lse_sinks": ("b1-h2-s8-d32-full-sinks",),
}
"""For each convention the cases that show it, of which the first that an implementation takes is tried."""

OF_LSE = ("lse_base", "lse_sinks")
DTYPES = ("fp32", "fp16", "bf16")


def tried(one: Implementation, oracle: Oracle, seed: int = 0) -> list[Tried]:
    """Every convention in turn; those found first hold while the others are tried."""
    found: list[Tried] = []
    held: dict[str, str] = {}
    for name in PROBES:
        row = _one(one, name, held, oracle, seed)
        found.append(row)
        if len(row.found) == 1:
            held[name] = row.found[0]
    return found


def _one(one: Implementation, name: str, held: dict[str, str], oracle: Oracle, seed: int) -> Tried:
    """The first probe that says something decides."""
    declared, reasons = str(getattr(one.conventions, name)), []
    for dtype, text in product(DTYPES, PROBES[name]):
        case = parse_case(f"{text}-{dtype}")
        if reason := _refused(one, name, case, held, oracle.device):
            reasons.append(reason)
            continue
        try:
            return Tried(name, declared, _values(one, name, case, held, oracle, seed), case.id)
        except Refusal as error:
            reasons.append(str(error))
    plain = [reason for reason in reasons if not reason.startswith("takes ")]
    return Tried(name, declared, (), why_not=(plain or reasons)[0])


def _refused(one: Implementation, name: str, case: Case, held: dict[str, str], device: str) -> str | None:
    """Why `case` can't show the convention here."""
    if (
        name == "empty_rows"
        and not case.under(_conventions(held, causal=held.get("causal", "bottom-right"))).has_empty_rows
    ):
        return "no case has a row without keys under its alignment"
    return one.supports(case, device)


def _conventions(held: dict[str, str], **more: str) -> Conventions:
    return conventions_of({**held, **more})


def _values(
    one: Implementation, name: str, case: Case, held: dict[str, str], oracle: Oracle, seed: int
) -> tuple[str, ...]:
    """The values under which the implementation agrees on `case`; Refusal where it gives no LSE to tell by."""
    agreeing = []
    inputs = make_inputs(case.under(one.conventions), "normal", seed, oracle.device)
    outputs = one.run(inputs)
    if name in OF_LSE and outputs.lse is None:
        raise Refusal("it returns no log-sum-exp")
    for value in VALUES[name]:
        asked = case.under(_conventions(held, **{name: value}))
        judged = replace(inputs, case=_seen_as(asked, value, one.conventions.window) if name == "window" else asked)
        output = "lse" if name in OF_LSE else "out"
        wanted = expect_of(judged, torch.arange(case.q_len))
        got = outputs.lse if output == "lse" else outputs.out
        assert got is not None, "one without an LSE was refused"
        if compare(output, "normal", got.detach(), wanted.targets[output], wanted.rows).ok:
            agreeing.append(value)
    return tuple(agreeing)


def _seen_as(case: Case, value: str, declared: str) -> Case:
    """What a function sees that takes its window by `value`, given one that is spelled as it declares."""
    assert isinstance(case.mask, Window), "the probe of a window has one"
    assert case.mask.left is not None, "and it is bounded"
    step = (declared == "counts-query") - (value == "counts-query")
    return msgspec.structs.replace(case, mask=Window(case.mask.left + step, case.mask.right))
