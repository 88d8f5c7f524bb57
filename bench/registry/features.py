"""The feature matrix: for each feature one small case that needs it, and whether each implementation does it.

A *yes* is an answer of ``supports`` to that case. Those on a CPU are run and
compared with the oracle by ``tests/impls/test_features.py``; those on CUDA are
what the implementation claims. A *no* is a reason, given before any work.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace

import msgspec

from attnbench.impls.contract import Implementation, parse_case


def _plain(mask: str = "full", more: str = "", heads: str = "h2", dims: str = "d64") -> tuple[str, ...]:
    """A case that has one thing: dense in two dtypes, over a cache, over pages."""
    return (
        f"b1-{heads}-s16-{dims}-{mask}{more}-fp32",
        f"b1-{heads}-s16-{dims}-{mask}{more}-fp16",
        f"b2-{heads}-q3-k16-{dims}-{mask}-cache:24:16x2{more}-fp32",
        f"b2-{heads}-q1-k300-{dims}-{mask}-paged:256:300/9{more}-fp16",
    )


SPECIMENS: dict[str, tuple[str, ...]] = {
    "full": _plain(),
    "causal": _plain("causal"),
    "window": (*_plain("window:5:2"), *_plain("window:5:0")),
    "prefix": _plain("prefix:4"),
    "blocks": _plain("blocks:4:1:1:0:causal"),
    "gqa": _plain(heads="h4-kv2"),
    "q_len != kv_len": ("b1-h2-q5-k16-d64-causal-fp32", "b1-h2-q5-k16-d64-full-fp16", *_plain("causal")[2:]),
    "v_head_dim": _plain(dims="d64-dv32"),
    "strided": _plain(more="-bmhd"),
    "scale": _plain(more="-scale0.3"),
    "softcap": _plain(more="-cap3"),
    "alibi": _plain("causal", "-alibi"),
    "additive": _plain(more="-additive"),
    "sinks": _plain(more="-sinks"),
    "padded": ("b2-h2-s16-d64-full-padded:16/9-fp32", "b2-h2-s16-d64-full-padded:16/9-fp16"),
    "packed": ("b1-h2-s16-d64-causal-packed:9/7-fp32", "b1-h2-s16-d64-causal-packed:9/7-fp16"),
    "cache": ("b2-h2-q1-k16-d64-causal-cache:24:16x2-fp32", "b2-h2-q1-k16-d64-causal-cache:24:16x2-fp16"),
    "ragged cache": ("b2-h2-q1-k16-d64-causal-cache:24:16/9-fp32", "b2-h2-q1-k16-d64-causal-cache:24:16/9-fp16"),
    "paged": ("b2-h2-q1-k300-d64-causal-paged:256:300/9-fp32", "b2-h2-q1-k300-d64-causal-paged:256:300/9-fp16"),
    "empty rows": ("b1-h2-q8-k4-d64-causal-fp32", "b1-h2-q8-k4-d64-causal-fp16"),
    "backward": ("b1-h2-s16-d64-causal-fp32-fwd+bwd", "b1-h2-s16-d64-causal-fp16-fwd+bwd"),
    "fp32": (_plain()[0], _plain()[2]),
    "fp16": (_plain()[1], _plain()[2].replace("fp32", "fp16"), _plain()[3]),
    "bf16": tuple(case.rpartition("-")[0] + "-bf16" for case in _plain()[1:]),
}
"""Cases of each feature, plain but for it; the first that an implementation can do is a yes."""

DEVICES = ("cpu", "cuda")
INTERPRETER = {"TRITON_INTERPRET": "1", "FLASH_ATTENTION_TRITON_AMD_ENABLE": "TRUE"}
"""On a CPU the matrix is about Triton's interpreter; on CUDA about running without it."""


@dataclass(frozen=True)
class Cell:
    """One feature on one device: the case that can be done, or the reason why none can."""

    case: str
    reason: str | None


@dataclass(frozen=True)
class Row:
    """What one implementation can do: by device, then by feature."""

    name: str
    needs: str
    interpreted: bool
    cells: dict[str, dict[str, Cell]]


def row_of(implementation: Implementation, also: str = "cpu") -> Row:
    """Ask `implementation` for every feature, as if its packages and what it lacks here were there.

    The cells hold the devices of the matrix and `also`.
    """
    cells = {}
    for device in dict.fromkeys((*DEVICES, also)):
        with environment(interpreted=device == "cpu"):
            cells[device] = {feature: _ask(implementation, feature, device) for feature in SPECIMENS}
    with environment(interpreted=False):
        interpreted = implementation.lacks is not None and implementation.lacks("cpu") is not None
    needs = ", ".join(requirement.package for requirement in implementation.requires)
    return Row(implementation.name, needs, interpreted, cells)


def _ask(implementation: Implementation, feature: str, device: str) -> Cell:
    cases, able = SPECIMENS[feature], replace(implementation, lacks=None)
    reasons = [able.supports(parse_case(case), device) for case in cases]
    for case, reason in zip(cases, reasons, strict=True):
        if reason is None:
            return Cell(case, None)
    by_dtype = [reason for reason in reasons if reason and not reason.startswith("takes ")]
    return Cell(cases[0], (by_dtype or reasons)[0])


@contextmanager
def environment(*, interpreted: bool) -> Iterator[None]:
    """The variables that implementations look at, as they are where the matrix holds."""
    before = {name: os.environ.pop(name, None) for name in INTERPRETER}
    if interpreted:
        os.environ.update(INTERPRETER)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def word(row: Row, feature: str) -> str:
    """``yes`` where it is checked on a CPU, ``CUDA`` where it is claimed there alone, ``no``."""
    if row.cells["cpu"][feature].reason is None:
        both = row.cells["cuda"][feature].reason is None
        return ("yes" if both else "CPU") + (" (interpreter)" if row.interpreted else "")
    return "CUDA" if row.cells["cuda"][feature].reason is None else "no"


def reason(row: Row, feature: str) -> str:
    """Why not: on a CPU where it runs on one, else on CUDA."""
    on_cpu, on_cuda = (row.cells[device][feature].reason for device in DEVICES)
    return (on_cuda if on_cpu and on_cpu.startswith("runs on") else on_cpu) or ""


def as_json(rows: list[Row]) -> str:
    """For machines."""
    return msgspec.json.format(msgspec.json.encode([asdict(row) for row in rows])).decode() + "\n"


def as_table(rows: list[Row]) -> str:
    """Plain text: a line an implementation and feature."""
    width = max(len(row.name) for row in rows)
    lines = [
        f"{row.name:<{width}}  {feature:<15}  {word(row, feature):<17}  "
        + (row.cells["cpu"][feature].case if word(row, feature)[0] in "yC" else reason(row, feature))
        for row in rows
        for feature in SPECIMENS
    ]
    return "\n".join(lines) + "\n"


HEAD = """# What each implementation can do

Made by `python -m bench list --features markdown`; don't edit by hand.

- **yes**: on a CPU and on CUDA; run on a CPU and compared with the oracle by `tests/impls/test_features.py`.
- **CPU**: the same, on a CPU alone.
- **(interpreter)**: on a CPU in Triton's interpreter, for agreement and never for timing.
- **CUDA**: what it claims there; no machine that builds this project has checked it. `python -m bench check
  --device cuda --impl NAME` does.
- **no**: refused before any work, for the reason below the table.

"""


def as_markdown(rows: list[Row]) -> str:
    """A table of words, features down and implementations across, and the reasons of each no."""
    parts = [HEAD]
    parts.append("| |" + "|".join(row.name for row in rows) + "|\n|---|" + "---|" * len(rows) + "\n")
    parts += [f"|{feature}|" + "|".join(word(row, feature) for row in rows) + "|\n" for feature in SPECIMENS]
    parts.append("\n## Why not\n")
    for row in rows:
        parts.append(f"\n### {row.name}\n\n" + (f"Needs {row.needs}.\n\n" if row.needs else ""))
        why_not = [f"- {', '.join(features)}: {why}\n" for why, features in _grouped(row).items()]
        parts += why_not or ["Nothing is refused.\n"]
    return "".join(parts)


def _grouped(row: Row) -> dict[str, list[str]]:
    """Features by the reason for their no, also where only one device can't."""
    found: dict[str, list[str]] = {}
    for feature in SPECIMENS:
        for device in DEVICES:
            why = row.cells[device][feature].reason
            if why and not why.startswith("runs on"):
                found.setdefault(why, [])
                if feature not in found[why]:
                    found[why].append(feature)
    return found
