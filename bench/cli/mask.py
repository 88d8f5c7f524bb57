"""``mask``: what a mask and a layout look like, and how many pairs they leave."""

import sys
from pathlib import Path

import click

from attnbench.bench.sweeps.build import cases_of
from attnbench.bench.sweeps.errors import SweepError
from attnbench.impls.contract import Case, CaseError, parse_case, parse_mask

FORMATS = (".png", ".svg", ".html")
LENGTH = "24"
TERMINAL_CELLS = 48

EXAMPLES = """\b
Examples:
  python -m bench mask causal --q-len 6 --kv-len 10
  python -m bench mask window:3:0 --layout packed:5/7 -o mask.svg
  python -m bench mask blocks:64:1:1:4:full --q-len 1k -o mask.png
"""


@click.command("mask", epilog=EXAMPLES)
@click.argument("spec")
@click.option("--q-len", help=f"Queries; without it those of the layout, or {LENGTH}.")
@click.option("--kv-len", help="Keys; without it those of the layout, or as many as queries.")
@click.option("--batch", help="Rows of the batch.")
@click.option("--layout", default="dense", help="dense, padded:12/7, packed:5/7, cache:32:24/9, paged:16:24/9, ...")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="FILE.png, .svg or .html.")
def command(
    spec: str, q_len: str | None, kv_len: str | None, batch: str | None, layout: str, out: Path | None
) -> None:
    """Draw the mask SPEC (causal, window:LEFT:RIGHT, ...; or a whole case id) in the terminal or into a file."""
    from attnbench.bench.sweeps import mask_picture

    case = _case(spec, {"q_len": q_len, "kv_len": kv_len, "batch": batch}, layout)
    try:
        found = mask_picture.panels(case, _columns() // 2 if out is None else mask_picture.MOST_CELLS)
    except SweepError as error:
        raise click.UsageError(str(error)) from error
    if out is None:
        click.echo("\n".join(mask_picture.as_text(found)))
        click.echo(mask_picture.summary(case))
        return
    if out.suffix not in FORMATS:
        raise click.UsageError(
            f"-o {out}: the format is unknown, expected a name that ends in {', '.join(FORMATS)}"
        )
    try:
        match out.suffix:
            case ".png":
                out.write_bytes(mask_picture.as_png(found))
            case ".svg":
                out.write_text(mask_picture.as_svg(case, found), encoding="utf-8")
            case _:
                out.write_text(mask_picture.as_html(case, found), encoding="utf-8")
    except OSError as error:
        raise click.UsageError(f"-o {out}: can't be written: {error.strerror}") from error
    click.echo(mask_picture.summary(case), err=True)
    click.echo(str(out))


def _case(spec: str, shape: dict[str, str | None], layout: str) -> Case:
    """The case to draw; click.UsageError says what is wrong."""
    from attnbench.bench.sweeps.axes import AXES

    try:
        if "-" in spec:
            return parse_case(spec)
        parse_mask(spec)
        lengths = {name: AXES[name].parse(text)[0] for name, text in shape.items() if text is not None}
        if "q_len" not in lengths and not layout.startswith("packed"):
            lengths["q_len"] = lengths.get("kv_len", int(LENGTH))
        (case,) = cases_of({"mask": spec, "layout": layout, "q_heads": 1, "head_dim": 1, **lengths})
    except (CaseError, SweepError, ValueError) as error:
        raise click.UsageError(str(error)) from error
    return case


def _columns() -> int:
    """Cells that fit, two characters each."""
    from shutil import get_terminal_size

    return get_terminal_size((2 * TERMINAL_CELLS, 24)).columns if sys.stdout.isatty() else 2 * TERMINAL_CELLS
