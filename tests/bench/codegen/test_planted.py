"""Live: regressions planted in a real kernel are caught, each by its metric; harmless edits raise nothing."""

from dataclasses import replace
from pathlib import Path

import pytest

from attnbench.bench.codegen.compile_pool import facts_of
from attnbench.bench.codegen.gate import Level, compare
from attnbench.bench.codegen.sources import user_recipes

KERNEL = Path(__file__).parent / "plain_flash.py"
TARGET = "sm_80"


def recipe(*, causal=False, path=KERNEL, **constants):
    full, with_mask = user_recipes(f"{path}:forward", [TARGET])
    chosen = with_mask if causal else full
    return replace(chosen, constants={**chosen.constants, **constants})


def options(base, **changed):
    return replace(base, options={**base.options, **changed})


def in_float32(base):
    return replace(base, signature={name: kind.replace("bf16", "fp32") for name, kind in base.signature.items()})


BASE, SMALL = recipe(), in_float32(recipe(D=32, TILE_Q=64, TILE_K=32))
PLANTED = {
    "one stage too many": (BASE, options(BASE, num_stages=11), "shared memory"),
    "registers forced low": (BASE, options(BASE, maxnreg=128), "spills in the loop"),
    "float32 without tensor cores": (
        SMALL,
        replace(SMALL, constants={**SMALL.constants, "PRECISION": "ieee"}),
        "tensor class",
    ),
    "fp fusion off": (BASE, options(BASE, enable_fp_fusion=False), "FFMA in the loop"),
    "a tile that halves the occupancy": (BASE, options(recipe(TILE_Q=256), num_warps=8), "CTAs per SM"),
    "a mask in every tile": (recipe(causal=True), recipe(causal=True, ALWAYS_MASK=True), "ratio"),
    "an unneeded barrier": (BASE, recipe(BARRIER=True), "barriers in the loop"),
}

EDITS = {
    "a variable renamed": ("alpha", "decay"),
    "a helper renamed": ("tiles(", "steps("),
    "a parameter renamed": ("LSE", "LSE"),
    "a comment": ("        p = tl.math.exp2(s)", "        # base 2\n        p = tl.math.exp2(s)  # p <= 1"),
    "a docstring": ("    tile = tl.program_id(0)", '    """Forward."""\n    tile = tl.program_id(0)'),
    "lines above": ("import triton\n", "import math  # noqa: F401\n\n\nimport triton\n"),
    "arguments reordered": ("    scale,\n    q_len,\n    kv_len,\n", "    kv_len,\n    q_len,\n    scale,\n"),
    "constants reordered": (
        "    D: tl.constexpr,\n    TILE_Q: tl.constexpr,\n",
        "    TILE_Q: tl.constexpr,\n    D: tl.constexpr,\n",
    ),
    "a constant more": (
        "    BARRIER: tl.constexpr = False,\n",
        "    BARRIER: tl.constexpr = False,\n    NEW: tl.constexpr = 1,\n",
    ),
    "factors swapped": ("l * alpha + tl.sum(p, 1)", "alpha * l + tl.sum(p, 1)"),
    "summands swapped": ("l * alpha + tl.sum(p, 1)", "tl.sum(p, 1) + l * alpha"),
    "a statement split": ("l = l * alpha + tl.sum(p, 1)", "row = tl.sum(p, 1)\n        l = l * alpha + row"),
    "another name for exp2": ("tl.math.exp2(s)", "tl.exp2(s)"),
    "in place": ("acc = acc * alpha[:, None]", "acc *= alpha[:, None]"),
    "definitions swapped": (
        "    columns = tl.arange(0, TILE_K)\n    dims = tl.arange(0, D)\n    for",
        "    dims = tl.arange(0, D)\n    columns = tl.arange(0, TILE_K)\n    for",
    ),
    "statements swapped": (
        "        p = tl.math.exp2(s)\n        alpha = tl.math.exp2(m - new)\n",
        "        alpha = tl.math.exp2(m - new)\n        p = tl.math.exp2(s)\n",
    ),
    "a keyword": ("tl.max(s, 1)", "tl.max(s, axis=1)"),
    "more digits": ("1.44269504", "1.4426950408889634"),
    "infinity spelt otherwise": ('-float("inf")', 'float("-inf")'),
    "an unused helper": (
        "@triton.jit\ndef forward",
        "@triton.jit\ndef unused(x):\n    return x\n\n\n@triton.jit\ndef forward",
    ),
    "a static assertion": ("    head = tl", "    tl.static_assert(D <= 256)\n    head = tl"),
}
"""Edits of the source as text; 'a parameter renamed' and a row more in the table are made in the test."""


@pytest.fixture(scope="module")
def planted():
    pairs = [r for before, after, _ in PLANTED.values() for r in (before, after)]
    facts = facts_of(pairs)
    return {name: (facts[2 * at], facts[2 * at + 1]) for at, name in enumerate(PLANTED)}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_regression_is_caught_by_its_metric(planted, name):
    before, after = planted[name]
    assert not before.failure
    failed = {finding.metric for finding in compare(before, after) if finding.level is Level.FAIL}
    assert PLANTED[name][2] in failed
    assert compare(before, before) == (), "what it is compared with is fine in itself"


@pytest.fixture(scope="module")
def edited(tmp_path_factory):
    folder = tmp_path_factory.mktemp("edited")
    return dict(zip(EDITS, facts_of([_edited(folder, at, name) for at, name in enumerate(EDITS)]), strict=True))


def _edited(folder, at, name):
    old, new = EDITS[name]
    source, path = KERNEL.read_text(), folder / f"edit_{at}.py"
    assert old in source, "the edit must change something"
    toml = KERNEL.with_suffix(".toml").read_text()
    if name == "a parameter renamed":
        source, toml = source.replace("LSE", "Lse"), toml.replace("LSE", "Lse")
    path.write_text(source.replace(old, new))
    path.with_suffix(".toml").write_text(toml)
    return replace(user_recipes(f"{path}:forward", [TARGET])[0], group=BASE.group)


@pytest.mark.parametrize("name", EDITS)
def test_a_harmless_edit_raises_nothing(planted, edited, name):
    before = planted["registers forced low"][0]
    assert compare(before, edited[name]) == ()
    assert len(EDITS) >= 20


def test_a_row_more_in_the_table_raises_nothing(planted, tmp_path):
    toml = tmp_path / "more.toml"
    toml.write_text(KERNEL.with_suffix(".toml").read_text() + '\n[[forward.variants]]\nname = "new"\n')
    recipes = user_recipes(f"{KERNEL}:forward", [TARGET], toml)
    facts = facts_of(recipes[:1] + recipes[2:])
    before = planted["registers forced low"][0]
    assert compare(before, facts[0]) == ()
    assert [finding.level for finding in compare(None, facts[1])] == [Level.NOTE]


def test_a_published_structure_compiles_to_what_was_published(planted):
    """Plain Triton, sm_80, d64, 128x64, 4 warps, 2 stages: published as 3.86 full, no spills, 2 CTAs an SM."""
    facts = planted["registers forced low"][0]
    assert facts.ratio == pytest.approx(3.86, rel=0.05)
    assert (facts.spills_in_loop, facts.ctas_per_sm, facts.tensor_class) == (0, 2, "HMMA")


def test_scores_that_are_no_longer_issued_ahead_are_caught_by_the_exposed_share():
    """sm_90, d128, 128x128, 8 warps, 2 stages: published as .14 exposed with scores ahead, .96 without."""
    sizes = {"D": 128, "TILE_Q": 128, "TILE_K": 128}
    plain = replace(options(recipe(**sizes), num_warps=8), target="sm_90")
    ahead, behind = facts_of([replace(plain, place=str(KERNEL.with_name("plain_ahead.py"))), plain])
    assert ahead.exposed == pytest.approx(0.14, abs=0.03)
    assert behind.exposed == pytest.approx(0.96, abs=0.03)
    assert behind.ratio == pytest.approx(2.0, rel=0.05)
    assert not ahead.serialised
    assert "exposed softmax" in {f.metric for f in compare(ahead, behind) if f.level is Level.FAIL}
