"""Axes: everything that a sweep may vary."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from attnbench.bench.sweeps.batches import batches
from attnbench.bench.sweeps.models import PHASES, models
from attnbench.bench.sweeps.readers import Value, integers, layouts, masks, reals, switches, texts, words
from attnbench.impls.contract import DIRECTIONS, DTYPES
from attnbench.impls.contract.case import BIASES, STRIDES


@dataclass(frozen=True, slots=True)
class Axis:
    """One thing that a sweep may vary.

    `displaces` are the axes that say the same in another way: overriding this
    one removes them.
    """

    name: str
    parse: Callable[[object], tuple[Value, ...]]
    metavar: str
    help: str
    displaces: frozenset[str] = frozenset()


LENGTHS = frozenset({"phase", "context", "chunk", "batch_spec"})
LENGTHS_OF_A_CASE = frozenset({"q_len", "kv_len", "batch_spec"})
MODEL_FIGURES = frozenset({
    "q_heads", "kv_heads", "gqa", "head_dim", "v_head_dim", "mask", "layout",
    "scale", "softcap", "bias", "sinks",
})  # fmt: skip

AXES: dict[str, Axis] = {
    axis.name: axis
    for axis in (
        Axis("batch", integers, "N,…", "batch rows", frozenset({"batch_spec"})),
        Axis("q_heads", integers, "N,…", "query heads"),
        Axis("kv_heads", integers, "N,…", "key/value heads", frozenset({"gqa"})),
        Axis("gqa", integers, "N,…", "query heads for each key/value head (1 is MHA)", frozenset({"kv_heads"})),
        Axis("q_len", integers, "RANGE", "queries: 128:16384:x2, 1:9:+2, 1,8k", LENGTHS),
        Axis("kv_len", integers, "RANGE", "keys; without it as many as queries", LENGTHS),
        Axis("head_dim", integers, "N,…", "width of a head of q and k"),
        Axis("v_head_dim", integers, "N,…", "width of a head of v; without it head_dim"),
        Axis("dtype", words(DTYPES), "fp32,…", "fp16, bf16, fp32"),
        Axis("mask", masks, "SPEC,…", "full, causal, window:4095:0, prefix:64, blocks:64:1:1:0:causal"),
        Axis(
            "layout",
            layouts,
            "SPEC,…",
            "dense, padded:ragged, packed:5/7, cache:x2, paged:16, …",
            frozenset({"batch_spec"}),
        ),
        Axis("scale", reals, "X,…", "factor on q.k; none is 1/sqrt(head_dim)"),
        Axis("softcap", reals, "X,…", "bound of the scores; none is no bound"),
        Axis("bias", words(BIASES), "NAME,…", "none, alibi, additive"),
        Axis("sinks", switches, "BOOL", "one more logit for each head"),
        Axis("dropout", reals, "P,…", "probability that a weight is dropped"),
        Axis("direction", words(DIRECTIONS), "NAME,…", "fwd, bwd, fwd+bwd"),
        Axis(
            "strides",
            words(STRIDES),
            "NAME,…",
            "order of the axes in memory: bhmd, bmhd; shared: keys with stride 0",
        ),
        Axis("model", models, "NAME,…", "shapes of a model, see docs/sweeps.md", MODEL_FIGURES | {"config"}),
        Axis("config", texts, "FILE,…", "shapes of a Hugging Face config.json", MODEL_FIGURES | {"model"}),
        Axis("phase", words((*PHASES, "cross")), "NAME,…", "prefill, decode, chunk", LENGTHS_OF_A_CASE),
        Axis("context", integers, "RANGE", "tokens of context for --phase", LENGTHS_OF_A_CASE),
        Axis("chunk", integers, "RANGE", "new tokens for --phase chunk", frozenset({"q_len"})),
        Axis(
            "batch_spec",
            batches,
            "SPEC,…",
            "mixed requests: 2q2k_32q1s1k",
            frozenset({"batch", "q_len", "kv_len", "layout", "phase", "context", "chunk"}),
        ),
        Axis("batch_as", words(("packed", "split")), "NAME,…", "how --batch-spec is called: packed, split"),
    )
}

SAY_THE_SAME: tuple[tuple[str, frozenset[str]], ...] = (
    ("gqa", frozenset({"kv_heads"})),
    ("model", frozenset({"config"})),
    ("phase", frozenset({"q_len", "kv_len"})),
    ("context", frozenset({"q_len", "kv_len"})),
    ("batch_spec", AXES["batch_spec"].displaces),
)
"""Axes that can't be given together, since they define the same quantity."""


def contradiction(names: Iterable[str]) -> str | None:
    """What is wrong with giving all of these axes at once, or None."""
    given = set(names)
    for name, others in SAY_THE_SAME:
        if name in given and (both := sorted(others & given)):
            return f"{name} and {both[0]} say the same thing: expected one of them"
    return None
