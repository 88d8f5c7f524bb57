"""The main loop, instruction by instruction: its pipe, its source line, and whether it is a spill, wait or product."""

import linecache
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from attnbench.bench.codegen import control_flow, sass
from attnbench.bench.codegen.classes import PIPES, classify
from attnbench.bench.codegen.exposure import issue_cycles
from attnbench.bench.codegen.loops import WorkLoop, main_loops
from attnbench.bench.codegen.recipe import Recipe
from attnbench.bench.codegen.target import Target, find

SIGNS = {"spill": "SPILL", "wait": "WAIT", "barrier": "BARRIER", "tensor": "PRODUCT", "async copy": "COPY"}
"""The sign beside an instruction of the class."""


@dataclass(frozen=True)
class Line:
    """One instruction of the main loop."""

    address: int
    pipe: str
    cycles: float
    text: str
    sign: str
    source: str


def explain(recipe: Recipe, keep: bool = True) -> list[str]:
    """The annotated main loops of a recipe, as lines of text. Compiles: run it in a worker."""
    from attnbench.bench.codegen.compiler import compile_recipe

    binary = compile_recipe(recipe, keep=keep)
    works = main_loops(control_flow.graph(sass.parse(binary.listing)), binary.warps)
    target = find(recipe.target)
    return [text for work in works for text in _loop(recipe, work, target)]


def annotate(work: WorkLoop, target: Target) -> Iterator[Line]:
    """The instructions of one iteration, in order."""
    for instruction in work.iteration:
        name = classify(instruction)
        yield Line(
            instruction.address,
            PIPES[name],
            issue_cycles(instruction, target),
            instruction.text,
            SIGNS.get(name, ""),
            f"{Path(instruction.file).name}:{instruction.line}" if instruction.file else "",
        )


def _loop(recipe: Recipe, work: WorkLoop, target: Target) -> Iterator[str]:
    lines = list(annotate(work, target))
    yield f"{recipe.id}: main loop of {work.partition}, {work.warps} warps, {len(lines)} instructions"
    yield f"{'address':>8} {'pipe':<13} {'cycles':>6}  {'':<8}{'instruction':<72} source"
    before = ""
    for line, instruction in zip(lines, work.iteration, strict=True):
        code = linecache.getline(instruction.file, instruction.line).strip() if line.source != before else ""
        before = line.source
        shown = f"{line.cycles:g}" if line.cycles else ""
        where = f"{line.source} {code}".rstrip()
        yield f"{line.address:>8x} {line.pipe:<13} {shown:>6}  {line.sign:<8}{line.text:<72} {where}"
    yield "by source line (instructions of one iteration):"
    counted = Counter((i.file, i.line) for i in work.iteration)
    for (file, number), count in counted.most_common():
        code = linecache.getline(file, number).strip() if file else ""
        pipes = Counter(PIPES[classify(i)] for i in work.iteration if (i.file, i.line) == (file, number))
        shares = ", ".join(f"{pipe} {n}" for pipe, n in pipes.most_common())
        yield f"{count:>6}  {Path(file).name}:{number}  {code[:70]:<70}  {shares}"
    yield ""
