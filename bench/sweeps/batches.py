"""Batches of mixed requests, as inference servers have them: ``2q2k_32q1s1k``.

Source: the grammar of vLLM's attention benchmark
(``benchmarks/attention_benchmarks/batch_spec.py``): requests with an underscore
between, each ``[COUNT]qQUERIES[k][sSEQUENCE[k]]``. The sequence is the whole
length, new tokens included, and equals the queries where it is not said (a
prefill); k is 1024. An earlier form of the grammar wrote ``kv`` for ``s``: both are read.
"""

import re
from dataclasses import dataclass

from attnbench.bench.sweeps.errors import SweepError
from attnbench.bench.sweeps.readers import size, texts
from attnbench.impls.contract import Packed

REQUEST = re.compile(r"(\d*)q(\d+k?)(?:(?:s|kv)(\d+k?))?")
FORM = "requests such as 2q2k_32q1s1k: [COUNT]qQUERIES[sSEQUENCE] with _ between, k is 1024"


@dataclass(frozen=True, slots=True)
class Requests:
    """`count` requests of `q_len` new tokens in a sequence of `kv_len` tokens, the new ones included."""

    count: int
    q_len: int
    kv_len: int


def parse_batch(text: str) -> tuple[Requests, ...]:
    """The requests that `text` names, in order; equal neighbours stay apart."""
    return tuple(_request(part, text) for part in text.strip().split("_"))


def batches(value: object) -> tuple[str, ...]:
    """Batches as their texts, each one read to see that it can be."""
    found = texts(value)
    for text in found:
        parse_batch(text)
    return found


def _request(part: str, text: str) -> Requests:
    if not (match := REQUEST.fullmatch(part)):
        raise SweepError(f"{part!r} in the batch {text!r} is no request: expected {FORM}")
    count, q_len = int(match[1] or 1), size(match[2])
    kv_len = size(match[3]) if match[3] else q_len
    if count < 1 or not 1 <= q_len <= kv_len:
        raise SweepError(
            f"{part!r} in the batch {text!r} can't be: expected a count of 1 or more and, since the sequence "
            f"holds the new tokens, 1 <= queries <= sequence (here {count}, {q_len}, {kv_len})"
        )
    return Requests(count, q_len, kv_len)


def batch_fields(text: str, *, split: bool = False) -> list[dict[str, object]]:
    """Case fields of `text`: one packed case for a mixed batch; requests of one kind make a plain batch.

    With `split`, one case for each kind, as engines do that call a prefill
    and a decode kernel in turn.
    """
    requests = merge(parse_batch(text))
    if split or len(requests) == 1:
        return [{"batch": kind.count, "q_len": kind.q_len, "kv_len": kind.kv_len} for kind in requests]
    q_lengths = tuple(kind.q_len for kind in requests for _ in range(kind.count))
    kv_lengths = tuple(kind.kv_len for kind in requests for _ in range(kind.count))
    layout = Packed(q_lengths, kv_lengths)
    return [{"batch": 1, "q_len": sum(q_lengths), "kv_len": sum(kv_lengths), "layout": layout}]


def merge(requests: tuple[Requests, ...]) -> tuple[Requests, ...]:
    """Requests of the same lengths as one, in the order of their first."""
    counts: dict[tuple[int, int], int] = {}
    for kind in requests:
        counts[kind.q_len, kind.kv_len] = counts.get((kind.q_len, kind.kv_len), 0) + kind.count
    return tuple(Requests(count, *lengths) for lengths, count in counts.items())
