"""The kill matrix, and what rules that others use make of the same defects and of honest variants.

``python -m tests.mutants.matrix`` prints it; ``--write`` puts it into docs/agreement.md.
"""

import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from attnbench.bench.agreement.check import check, gradients
from attnbench.bench.agreement.inputs import make_inputs
from attnbench.bench.agreement.low_precision_reference import eager
from attnbench.bench.agreement.observe import global_state, restored
from attnbench.bench.agreement.oracle import Oracle
from attnbench.bench.agreement.reference import reference
from attnbench.bench.records.schema import Agreement
from attnbench.bench.registry.user_file import load_user_file
from attnbench.impls.contract import Case, Implementation, Refusal, parse_case
from tests.mutants.door import first_failures, plantings
from tests.mutants.features import FEATURES
from tests.mutants.table import MUTANTS, Mutant

ALL = (*MUTANTS, *FEATURES)

COLUMNS = (
    "normal",
    "needle",
    "spike",
    "large",
    "low",
    "growing",
    "poison",
    "views",
    "gradients",
    "properties",
    "effects",
)
PROPERTY_NAMES = frozenset({"causality", "key permutation", "ones", "linearity", "grouping", "split-merge"})
DOCS = Path(__file__).parents[2] / "docs" / "agreement.md"
BEGIN, END = "<!-- kill matrix -->", "<!-- end of the kill matrix -->"


def killers(agreement: Agreement) -> tuple[str, ...]:
    """What failed: ``FAMILY/OUTPUT`` of comparisons, and names of required checks."""
    compared = (f"{c.family}/{c.output}" for c in agreement.comparisons if not c.ok)
    return (*compared, *(c.name for c in agreement.failed_checks))


def kill(mutant: Mutant, oracle: Oracle, seed: int = 0) -> tuple[str, ...]:
    """What catches this defect."""
    return killers(check(load_user_file(mutant.path), parse_case(mutant.case), oracle, seed=seed).agreement)


def columns(found: Iterable[str]) -> dict[str, bool]:
    """Which columns of the matrix hold one of these killers."""
    hit = dict.fromkeys(COLUMNS, False)
    for name in found:
        family, _, output = name.partition("/")
        if output in ("dq", "dk", "dv"):
            hit["gradients"] = True
        elif output:
            hit[family] = True
        else:
            hit["properties" if name in PROPERTY_NAMES else "effects"] = True
    return hit


RULES = ("2x max", "atol 1e-2", "atol = rtol = 1e-2", "assert_close")
"""Rules of others, on normal inputs: FlashAttention's (largest error within twice eager's, 1e-5 added), the
Triton tutorial's (absolute 1e-2), KernelBench's, and torch.testing's own tolerances by dtype."""

CLOSE = {"fp32": (1.3e-6, 1e-5), "bf16": (1.6e-2, 1e-5), "fp16": (1e-3, 1e-5)}


def wrong_by_rules(implementation: Implementation, case: Case, seed: int = 0) -> dict[str, bool]:
    """Which rule calls it wrong; output and gradients, normal inputs, as their users apply them."""
    inputs = make_inputs(case, "normal", seed)
    if inputs.dout is not None:
        for x in (inputs.q, inputs.k, inputs.v):
            x.requires_grad_()
    state = global_state()
    outputs = implementation.run(inputs)
    restored(state)
    if not isinstance(outputs.out, Tensor) or outputs.out.shape[:3] != inputs.q.shape[:3]:
        return dict.fromkeys(RULES, True)
    got = {"out": outputs.out} | (gradients(inputs, outputs) if inputs.dout is not None else {})
    # The defect may have changed the inputs; those of the rules are made anew.
    fresh = make_inputs(case, "normal", seed)
    true, low = reference(fresh), eager(fresh, torch.arange(case.q_len))
    found = dict.fromkeys(RULES, False)
    for name, x in got.items():
        expected = getattr(true, name)
        error = (x.detach().double() - expected).abs().nan_to_num(torch.inf)
        allowed = 2 * float((low[name].double() - expected).abs().max()) + 1e-5
        rtol, atol = CLOSE[case.dtype]
        found["2x max"] |= bool((error > allowed).any())
        found["atol 1e-2"] |= bool((error > 1e-2).any())
        found["atol = rtol = 1e-2"] |= bool((error > 1e-2 + 1e-2 * expected.abs()).any())
        found["assert_close"] |= bool((error > atol + rtol * expected.abs()).any())
    return found


def matrix(oracle: Oracle, door: Mapping[str, str]) -> str:
    """The table in Markdown: a row a defect; then how many each column and each rule caught.

    `door` has the case at which a whole check showed each planting.
    """
    head = ["defect", "what", "case", *COLUMNS, *RULES, "shown by `check`", "declaring less"]
    lines = [_line(head), _line(["---"] * len(head))]
    totals = dict.fromkeys((*COLUMNS, *RULES), 0)
    for mutant in ALL:
        hit = dict.fromkeys(totals, False)
        if mutant.case:
            hit = columns(caught(mutant, oracle)) | wrong_by_rules(
                load_user_file(mutant.path), parse_case(mutant.case)
            )
        for name, is_hit in hit.items():
            totals[name] += is_hit
        marks = ["x" if hit[name] else "" for name in totals]
        shown = [f"`{door[path]}`" if door[path] else "**passes**" for path in mutant.plantings]
        case = f"`{mutant.case}`" if mutant.case else "none yet"
        lines.append(
            _line([f"{mutant.file}: {mutant.name}", mutant.words, case, *marks, *shown, *[""][len(shown) - 1 :]])
        )
    lines.append(_line(["**caught**", f"of {len(ALL)}", "", *map(str, totals.values()), *_shown(door)]))
    others = ", ".join(f"{rule} {len(ALL) - totals[rule]}" for rule in RULES)
    return f"{_verdict(door)} Missed by the rules of others: {others}.\n\n" + "\n".join(lines)


def caught(mutant: Mutant, oracle: Oracle) -> tuple[str, ...]:
    """What catches a defect; AssertionError where its own check does not, in each of its plantings."""
    every = [
        killers(check(load_user_file(path), parse_case(mutant.case), oracle).agreement) for path in mutant.plantings
    ]
    for path, found in zip(mutant.plantings, every, strict=True):
        assert mutant.by in found, f"{path} is not caught by {mutant.by}"
    return every[0]


def _shown(door: Mapping[str, str]) -> tuple[str, str]:
    """How many plantings of each kind a whole check shows."""
    twice = {mutant.alone for mutant in ALL if mutant.twice}
    shown = Counter(path in twice for path, case in door.items() if case)
    return f"{shown[False]} of {len(ALL)}", f"{shown[True]} of {len(twice)}"


def _verdict(door: Mapping[str, str]) -> str:
    unseen = [Path(path).name for path, case in door.items() if not case]
    if not unseen:
        return f"All {len(ALL)} are caught, and in all {len(door)} plantings by a plain `check`."
    return f"A plain `check` passes {len(unseen)} of {len(door)} plantings: {', '.join(unseen)}."


def honest(oracle: Oracle, seeds: Iterable[int]) -> str:
    """How many honest comparisons each rule calls wrong, in Markdown."""
    from tests.soundness.variants import CASES, VARIANTS

    flagged, count = dict.fromkeys(("attnbench", *RULES), 0), 0
    for seed in seeds:
        for case in map(parse_case, CASES):
            for implementation in VARIANTS.values():
                try:
                    flagged["attnbench"] += not check(implementation, case, oracle, seed=seed).agreement.ok
                except Refusal:
                    continue
                count += 1
                for name, wrong in wrong_by_rules(implementation, case, seed).items():
                    flagged[name] += wrong
    head = ["honest comparisons", *flagged]
    return "\n".join([_line(head), _line(["---"] * len(head)), _line([str(count), *map(str, flagged.values())])])


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def main() -> None:
    """Print the matrix, or write it into the docs."""
    torch.set_num_threads(1)
    oracle = Oracle()
    door = first_failures(plantings())
    text = f"{matrix(oracle, door)}\n\n{honest(oracle, range(2))}"
    if "--write" in sys.argv:
        whole = DOCS.read_text()
        before, after = whole.split(BEGIN)[0], whole.split(END)[1]
        DOCS.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")
    print(text)


if __name__ == "__main__":
    main()
