"""How the values of an axis are written: sizes, ranges, lists, words, masks."""

import math
import re
from collections.abc import Callable, Iterable

from attnbench.bench.sweeps.errors import SweepError
from attnbench.impls.contract import parse_mask

Value = int | float | str | bool | None

LAYOUTS = ("dense", "padded", "packed", "cache", "paged")
FORMS = (
    "dense, padded:ragged, padded:LENGTHS, packed:LENGTHS[:KEY_LENGTHS], "
    "cache:CAPACITY[:ragged|:FILLS], paged:PAGE[:ragged|:FILLS]; CAPACITY may be x2 (twice kv_len)"
)
SIZE = re.compile(r"(\d+)(k?)")
RANGE_FORM = "a number, a size such as 8k (k is 1024), a range such as 128:16384:x2 or 1:9:+2, or a list of these"
LARGEST = 2**31
MOST_VALUES = 10_000
"""An axis longer than this is a slip of the pen."""


def size(text: str) -> int:
    """``8k`` as 8192; k is 1024."""
    if not (match := SIZE.fullmatch(text.strip())):
        raise SweepError(f"{text!r} is no size: expected digits, or digits and k (8k is 8192)")
    return int(match[1]) * (1024 if match[2] else 1)


def int_range(text: str) -> tuple[int, ...]:
    """``128:16384:x2`` as 128, 256, … 16384; ``1:9:+2`` as 1, 3, … 9; both ends count."""
    start_text, end_text, *step = text.split(":")
    step_text = step[0] if step else "+1"
    if len(step) > 1 or not (match := re.fullmatch(r"([x+])(\d+)", step_text)):
        raise SweepError(f"{text!r} is no range: expected START:END:xFACTOR or START:END:+STEP")
    start, end, by = size(start_text), _positive(size(end_text)), int(match[2])
    if by < (2 if match[1] == "x" else 1) or not 1 <= start <= end:
        raise SweepError(f"{text!r} never ends or is empty: expected 1 <= START <= END and a step that grows")
    count = 1 + ((end - start) // by if match[1] == "+" else int(math.log(end / start, by) + 1e-9))
    if count > MOST_VALUES:
        raise SweepError(f"{text!r} has {count} values: expected at most {MOST_VALUES}")
    return tuple(start + by * i if match[1] == "+" else start * by**i for i in range(count))


def integers(value: object) -> tuple[int, ...]:
    """Every way to write integers: 128, "8k", "128:1024:x2", "1,2,8:16:+4", lists of these."""
    if isinstance(value, bool) or not isinstance(value, int | str | list):
        raise SweepError(f"{value!r} is a {type(value).__name__}: expected {RANGE_FORM}")
    if isinstance(value, int):
        return (_positive(value),)
    if isinstance(value, list):
        return tuple(number for item in value for number in integers(item))
    parts = [part.strip() for part in value.split(",")]
    return tuple(n for part in parts for n in (int_range(part) if ":" in part else (_positive(size(part)),)))


def _positive(number: int) -> int:
    if not 1 <= number <= LARGEST:
        raise SweepError(f"{number}: expected {'1 or more' if number < 1 else f'at most {LARGEST}'}")
    return number


def words(allowed: Iterable[str]) -> Callable[[object], tuple[str, ...]]:
    """A reader of texts that are each one of `allowed`."""
    names = tuple(allowed)

    def read(value: object) -> tuple[str, ...]:
        found = texts(value)
        for text in found:
            if text not in names:
                raise SweepError(f"{text!r} is unknown: expected {', '.join(names)}")
        return found

    return read


def masks(value: object) -> tuple[str, ...]:
    """Masks as their texts."""
    found = texts(value)
    for text in found:
        try:
            parse_mask(text)
        except ValueError as error:
            raise SweepError(str(error)) from error
    return found


def texts(value: object) -> tuple[str, ...]:
    """A text, several with commas between, or a list of texts."""
    items = value if isinstance(value, list) else [value]
    words = [item for item in items if isinstance(item, str)]
    if len(words) < len(items):
        raise SweepError(f"{value!r} is not text: expected a text or a list of texts")
    found = tuple(part.strip() for word in words for part in word.split(","))
    if not all(found):
        raise SweepError(f"{value!r} holds an empty text: expected names with a comma between")
    return found


def reals(value: object) -> tuple[float | None, ...]:
    """Numbers, or ``none`` for the default; one, several with commas between, or a list."""
    items = value if isinstance(value, list) else value.split(",") if isinstance(value, str) else [value]
    return tuple(_real(item) for item in items)


def _real(item: object) -> float | None:
    if isinstance(item, str) and item.strip() == "none":
        return None
    if isinstance(item, int | float | str) and not isinstance(item, bool):
        try:
            return float(item)
        except ValueError:
            pass
    raise SweepError(f"{item!r} is no number: expected a number or none")


def switches(value: object) -> tuple[bool, ...]:
    """True, false, or both as ``true,false``."""
    items = value if isinstance(value, list) else value.split(",") if isinstance(value, str) else [value]
    words = {True: True, False: False, "true": True, "false": False, "yes": True, "no": False}
    try:
        return tuple(words[item.strip() if isinstance(item, str) else item] for item in items)
    except (KeyError, TypeError) as error:
        raise SweepError(f"{value!r} is no switch: expected true or false") from error


def layouts(value: object) -> tuple[str, ...]:
    """Layouts as their texts; lengths are checked where the case is known."""
    found = texts(value)
    for text in found:
        if text.split(":", maxsplit=1)[0] not in LAYOUTS:
            raise SweepError(f"layout {text!r} is unknown: expected {FORMS}")
    return found
