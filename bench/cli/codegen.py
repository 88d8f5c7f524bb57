"""``python -m bench codegen``: what the compiler made of a Triton kernel, printed and gated. Exit codes 0, 1, 2."""

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import click
import msgspec
from rich.console import Console

from attnbench.bench.codegen import baselines, diff, gate, render, target
from attnbench.bench.codegen.binary import ToolError
from attnbench.bench.codegen.compile_pool import facts_of, in_worker
from attnbench.bench.codegen.explain import explain
from attnbench.bench.codegen.facts import Facts
from attnbench.bench.codegen.recipe import Recipe, RecipeError
from attnbench.bench.codegen.sources import PROJECT, project_recipes, user_recipes

OK, GATE_FAILED, USAGE = 0, 1, 2
HEAD_DIMS, DTYPES, MASKS = "64,128", "bf16", "full,causal"
WIDTH = 200
"""Columns where there is no terminal: tables are not squeezed into a log."""
USAGE_ERRORS = (RecipeError, target.UnknownTarget, baselines.BaselineError, diff.DiffError, ToolError)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What to compile."""

    kernels: tuple[str, ...]
    targets: tuple[str, ...]
    head_dims: tuple[int, ...]
    dtypes: tuple[str, ...]
    masks: tuple[str, ...]
    settings: Path | None
    jobs: int | None
    keep: bool

    def recipes(self, root: str | None = None) -> list[Recipe]:
        """All configurations asked for; the project's are read from `root` if given."""
        for name in self.targets:
            target.find(name)
        causal = tuple(mask == "causal" for mask in self.masks)
        found: list[Recipe] = []
        for kernel in self.kernels:
            if ".py" in kernel:
                found += user_recipes(kernel, self.targets, self.settings)
            elif kernel in PROJECT:
                found += project_recipes(kernel, self.targets, self.head_dims, self.dtypes, causal, root)
            else:
                raise RecipeError(f"unknown kernel {kernel!r}: there is {', '.join(PROJECT)}, or FILE.py:KERNEL")
        return found

    def facts(self, root: str | None = None) -> list[Facts]:
        """Compiled and analysed."""
        return facts_of(self.recipes(root), jobs=self.jobs, keep=self.keep, root=root)

    @property
    def everything(self) -> bool:
        """Whether no filter leaves out a shipped configuration, so that one that is gone is seen."""
        return (self.head_dims, self.dtypes, self.masks) == (_numbers(HEAD_DIMS), _words(DTYPES), _words(MASKS))


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in _words(text))
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is not a list of numbers, as in {HEAD_DIMS}") from error


@click.command(
    "codegen", epilog="Example: python -m bench codegen triton_fused --target sm_90 --head-dim 128 --gate committed"
)
@click.argument("kernels", nargs=-1, metavar="[KERNEL]...")
@click.option("--target", "targets", default=",".join(target.SHIPPED), show_default=True, help="GPUs.")
@click.option("--head-dim", "head_dims", default=HEAD_DIMS, show_default=True, help="Of the project's kernels.")
@click.option("--dtype", "dtypes", default=DTYPES, show_default=True, help="Of the project's kernels.")
@click.option("--causal", "masks", default=MASKS, show_default=True, help="full, causal or both.")
@click.option("--config", "settings", type=click.Path(path_type=Path), help="TOML for FILE.py:KERNEL.")
@click.option("--explain", "explained", is_flag=True, help="Show each main loop, annotated.")
@click.option("--diff", "sides", nargs=2, metavar="A B", help="A.json, git:REVISION, '.', or part of an id.")
@click.option("--gate", "baseline", metavar="BASELINE", help="Folder of baselines, or 'committed'.")
@click.option("--rebaseline", is_flag=True, help="Write the facts into the baseline instead of judging.")
@click.option("--marks", "marked", is_flag=True, help="Set the facts beside published binaries.")
@click.option("--json", "json_file", metavar="FILE", help="Write the facts; - is standard output.")
@click.option("--jobs", type=click.IntRange(1), help="Processes; by default one for each core.")
@click.option("--no-cache", is_flag=True, help="Compile everything anew.")
def command(
    kernels: tuple[str, ...],
    targets: str,
    head_dims: str,
    dtypes: str,
    masks: str,
    settings: Path | None,
    explained: bool,
    sides: tuple[str, str] | None,
    baseline: str | None,
    rebaseline: bool,
    marked: bool,
    json_file: str | None,
    jobs: int | None,
    no_cache: bool,
) -> None:
    """Compile Triton kernels for GPUs that aren't here, and show or gate what came out.

    KERNEL is triton_fused (the default), or FILE.py:KERNEL with a TOML of the same name
    beside it. Facts of machine code are printed, never speeds. Exit codes: 0 fine, 1 the
    gate failed, 2 usage.
    """
    asked = Asked(
        kernels=kernels or tuple(PROJECT),
        targets=_words(targets),
        head_dims=_numbers(head_dims),
        dtypes=_words(dtypes),
        masks=_words(masks),
        settings=settings,
        jobs=jobs,
        keep=not no_cache,
    )
    unknown = set(asked.masks) - set(_words(MASKS))
    if unknown:
        raise click.BadParameter(f"{', '.join(sorted(unknown))}: say full, causal or both", param_hint="--causal")
    try:
        if sides:
            _show_difference(asked, *sides)
        elif explained:
            _explain(asked)
        else:
            _show(asked, baseline, rebaseline=rebaseline, marked=marked, json_file=json_file)
    except USAGE_ERRORS as error:
        _usage(str(error))


def _show(asked: Asked, baseline: str | None, *, rebaseline: bool, marked: bool, json_file: str | None) -> None:
    folder = baselines.FOLDER if baseline in (None, "committed") else Path(str(baseline))
    if baseline and not rebaseline and not folder.is_dir():  # told now, not after a minute of compiling
        raise baselines.BaselineError(f"there is no folder {folder}; make the baselines with --rebaseline")
    facts = asked.facts()
    if json_file:
        data = msgspec.json.format(msgspec.json.encode(facts), indent=1)
        sys.stdout.buffer.write(data + b"\n") if json_file == "-" else Path(json_file).write_bytes(data + b"\n")
    if json_file != "-":
        console().print(render.marks_table(facts) if marked else render.facts_tables(facts))
    if rebaseline:
        for path in baselines.save(folder, facts):
            console(stderr=True).print(f"wrote {path}: look at the change and commit it")
    elif baseline:
        _judge(folder, facts, everything=asked.everything)


def _judge(folder: Path, facts: Sequence[Facts], *, everything: bool) -> None:
    before = baselines.load(folder, facts)
    findings = gate.judge(before, facts) + (gate.missing(before, facts) if everything else ())
    failures = sum(finding.level is gate.Level.FAIL for finding in findings)
    out = console(stderr=True)
    out.print(render.findings_text(findings))
    verdict = f"{failures} findings fail" if failures else "no finding fails"
    out.print(f"codegen gate: {len(facts)} configurations against {folder.name}: {verdict}")
    if failures:
        sys.exit(GATE_FAILED)


def _explain(asked: Asked) -> None:
    for recipe in asked.recipes():
        print("\n".join(in_worker(explain, recipe, asked.keep)))


def _show_difference(asked: Asked, first: str, second: str) -> None:
    one, other = (_side(asked, side) for side in (first, second))
    for before, after in diff.pairs(one, other):
        console().print(render.difference_table(before, after, gate.loop_difference(before, after)))


def _side(asked: Asked, side: str) -> Sequence[Facts]:
    """Facts of a file, of a revision, of all that is asked for (``.``), or of what an id's parts choose."""
    if side.endswith(".json"):
        return baselines.read_facts(Path(side))
    if side.startswith(diff.REVISION):
        with ExitStack() as stack:
            return asked.facts(stack.enter_context(diff.revision(side, Path.cwd())))
    facts = asked.facts()
    return facts if side == "." else diff.chosen(facts, side)


def console(*, stderr: bool = False) -> Console:
    """Results go to standard output, messages to standard error."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream.isatty() else WIDTH, highlight=False)


def _usage(message: str) -> NoReturn:
    click.echo(f"codegen: {message}", err=True)
    sys.exit(USAGE)
