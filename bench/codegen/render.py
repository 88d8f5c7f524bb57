"""Facts as tables for a terminal. Every heading says that they are no speeds."""

import re
from collections.abc import Iterable, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from attnbench.bench.codegen.facts import Facts
from attnbench.bench.codegen.gate import Finding, Level
from attnbench.bench.records.marks import marks_of

COLOURS = {Level.FAIL: "red", Level.WARN: "yellow", Level.NOTE: "cyan"}
RESOURCES = (
    *("configuration", "tiles", "registers", "stack B", "spills in loop / outside", "shared B", "tensor mem"),
    *("warps", "CTAs/SM", "limited by", "code"),
)
WORK = (
    *("main loop of", "partition", "instr.", "tensor", "ratio", "async", "barriers", "waits", "exposed"),
    *("mix", "pipe cycles an iteration"),
)
SHOWN_CLASSES = 7
"""Classes of instructions that the mix names; the rest is summed."""


def facts_tables(facts: Sequence[Facts]) -> Group:
    """Two tables for each kernel and target: resources with the main loop, and its mix with the pipes."""
    parts: list[RenderableType] = []
    for group, target in dict.fromkeys((f.group, f.target) for f in facts):
        here = [f for f in facts if (f.group, f.target) == (group, target)]
        good = [f for f in here if not f.failure]
        compilers = ", ".join(sorted({f"Triton {f.triton}, ptxas {f.ptxas}" for f in good})) or "nothing compiled"
        parts.append(Text(f"\n{group} for {target} ({compilers})", style="bold"))
        parts += [_resources(good), _work(good)] if good else []
        parts += [Text(f"{f.config}: ptxas: {said}", style="yellow") for f in good for said in f.advisories]
        parts += [Text(f"{f.config}: does not compile: {f.failure}", style="red") for f in here if f.failure]
    parts.append(Text("\nFacts of machine code, not speeds: see docs/codegen.md for what they can't tell."))
    return Group(*parts)


def _resources(facts: Iterable[Facts]) -> Table:
    table = _table(*RESOURCES)
    for f in facts:
        over = f.shared_bytes > f.shared_limit
        table.add_row(
            f.config,
            f.note,
            str(f.registers),
            str(f.stack_bytes),
            Text(f"{f.spills_in_loop} / {f.spills_outside}", style="red" if f.spills_in_loop else ""),
            Text(f"{f.shared_bytes}{' > ' + str(f.shared_limit) if over else ''}", style="red" if over else ""),
            str(f.tensor_columns or "-"),
            str(f.warps),
            Text(str(f.ctas_per_sm), style="" if f.ctas_per_sm else "red"),
            f.limit,
            f.sha256[:8],
        )
    return table


def _work(facts: Iterable[Facts]) -> Table:
    table = _table(*WORK)
    for f in facts:
        for at, loop in enumerate(f.loops):
            mix = dict(list(loop.mix.items())[:SHOWN_CLASSES])
            rest = loop.instructions - sum(mix.values())
            table.add_row(
                "" if at else f.config,
                f"{loop.partition}, {loop.warps} warps",
                str(loop.instructions),
                f"{loop.tensor} {f.tensor_class}" if loop.tensor else "-",
                number(loop.ratio),
                str(loop.async_copies),
                str(loop.barriers),
                str(loop.waits),
                "" if at else exposed(f),
                " ".join(f"{name} {count}" for name, count in mix.items()) + (f" rest {rest}" if rest else ""),
                "" if at else " ".join(f"{pipe} {cycles:.0f}" for pipe, cycles in f.pipe_cycles.items()),
            )
    return table


def marks_table(facts: Sequence[Facts]) -> Table:
    """Ours beside the published marks: machine-code facts, not speeds."""
    table = _table("target", "head_dim", "mask", "kernel", "ratio", "spills in loop", "CTAs/SM", "exposed")
    table.title = "Machine-code facts beside published binaries (not speeds, and no ranking within 10%)"
    shapes = [(f, *shape) for f in facts if not f.failure and (shape := _shape(f.config))]
    for target, head_dim, mask in dict.fromkeys((f.target, dim, mask) for f, dim, mask in shapes):
        where = (target, str(head_dim), mask)
        for mark in marks_of(target, head_dim, mask):
            spills, ctas = _shown(mark.spills), _shown(mark.ctas)
            table.add_row(*where, mark.kernel, number(mark.ratio), spills, ctas, number(mark.exposed))
        for f in (f for f, *shape in shapes if (f.target, *shape) == (target, head_dim, mask)):
            name = f"{f.group} {f.config.split('-')[0]} {f.note}"
            row = (number(f.ratio), str(f.spills_in_loop), str(f.ctas_per_sm), exposed(f))
            table.add_row(*where, name, *row, style="bold")
        table.add_section()
    return table


def _shape(config: str) -> tuple[int, str] | None:
    """head_dim and mask of a configuration that is named as ours are: ``forward-d128-causal-bf16``."""
    named = re.fullmatch(r"\w+-d(\d+)-(full|causal)-\w+", config)
    return (int(named[1]), named[2]) if named else None


def findings_text(findings: Sequence[Finding]) -> Group:
    """What the gate found, worst first, each with the difference of the main loop."""
    lines: list[RenderableType] = []
    for finding in findings:
        lines.append(Text(str(finding), style=COLOURS[finding.level]))
        if finding.loop:
            lines.append(Text("     loop: " + ", ".join(finding.loop[:12]), style="dim"))
    return Group(*lines)


def difference_table(before: Facts, after: Facts, loop: Sequence[str]) -> Table:
    """Two configurations side by side."""
    table = _table("metric", "A", "B")
    table.title = f"A {before.id} (Triton {before.triton})\nB {after.id} (Triton {after.triton})"
    for metric in METRICS:
        was, became = _shown(getattr(before, metric)), _shown(getattr(after, metric))
        table.add_row(metric.replace("_", " "), was, Text(became, style="" if was == became else "bold"))
    for count in ("instructions", "tensor", "async_copies", "barriers", "waits", "ffma"):
        was, became = str(before.total(count)), str(after.total(count))
        table.add_row(f"loop: {count.replace('_', ' ')}", was, Text(became, style="" if was == became else "bold"))
    table.add_row("loop: opcodes", "", "\n".join(loop) or "the same")
    return table


METRICS = (
    *("note", "failure", "registers", "stack_bytes", "shared_bytes", "tensor_columns", "warps", "ctas_per_sm"),
    *("limit", "spills_in_loop", "spills_outside", "tensor_class", "ratio", "ratio_all", "exposed", "serialised"),
    *("triton", "ptxas", "sha256"),
)
"""Rows of a comparison, in order."""


def exposed(facts: Facts) -> str:
    """The exposed share, and that it is worth nothing where products are serialised."""
    return f"{number(facts.exposed)} serialised!" if facts.serialised else number(facts.exposed)


def number(value: float | None) -> str:
    """Two decimals, or a dash."""
    return "-" if value is None else f"{value:.2f}"


def _shown(value: object) -> str:
    if isinstance(value, float):
        return number(value)
    return "-" if value is None or value == "" else str(value)[:40]


def _table(*columns: str) -> Table:
    table = Table(show_edge=False, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
