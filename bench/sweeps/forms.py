"""Layouts as a sweep writes them: complete, or as a form that takes its lengths from the case.

- ``padded:ragged``: rows from kv_len down to half of it
- ``cache:CAPACITY`` and ``paged:PAGE``: every row filled up to kv_len; with
  ``:ragged``, rows from kv_len down to half of it
- CAPACITY may be ``xN``: N times kv_len
"""

from attnbench.bench.sweeps.errors import SweepError
from attnbench.bench.sweeps.readers import FORMS, size
from attnbench.impls.contract import Cache, Padded, Paged
from attnbench.impls.contract.layouts import AnyLayout, parse_layout, split_lengths


def ragged(batch: int, kv_len: int) -> tuple[int, ...]:
    """One length a row, evenly from kv_len down to half of it."""
    return tuple(kv_len - (kv_len // 2) * row // max(batch - 1, 1) for row in range(batch))


def implied_shape(spec: str) -> dict[str, int]:
    """Batch and lengths from a layout with explicit lengths, for a case that does not give them."""
    name, *arguments = spec.split(":")
    try:
        if name == "packed":
            queries, keys = split_lengths(arguments[0]), split_lengths(arguments[-1])
            return {"batch": 1, "q_len": sum(queries), "kv_len": sum(keys)}
        if name in ("padded", "cache", "paged") and "/" in arguments[-1] + arguments[-1].replace("x", "/"):
            fills = split_lengths(arguments[-1])
            return {"batch": len(fills), "kv_len": max(fills)}
    except (ValueError, IndexError):
        pass  # layout_for names what is wrong
    return {}


def layout_for(spec: str, batch: int, kv_len: int) -> AnyLayout:
    """The layout that `spec` means for this batch and these keys; SweepError with the forms there are."""
    name, *arguments = spec.split(":")
    try:
        match name, arguments:
            case "padded", ["ragged"]:
                return Padded(ragged(batch, kv_len))
            case "cache", [capacity, *rest] if _fills(rest):
                return Cache(_capacity(capacity, kv_len), _filled(rest, batch, kv_len))
            case "cache", [capacity, fills] if capacity.startswith("x"):
                return Cache(_capacity(capacity, kv_len), split_lengths(fills))
            case "paged", [page, *rest] if _fills(rest):
                return Paged(size(page), _filled(rest, batch, kv_len))
            case _:
                return parse_layout(spec)
    except ValueError as error:
        raise SweepError(f"layout {spec!r} is unknown: expected {FORMS}") from error


def _fills(rest: list[str]) -> bool:
    return rest in ([], ["ragged"])


def _filled(rest: list[str], batch: int, kv_len: int) -> tuple[int, ...]:
    return ragged(batch, kv_len) if rest else (kv_len,) * batch


def _capacity(text: str, kv_len: int) -> int:
    return int(text[1:]) * kv_len if text.startswith("x") else size(text)
