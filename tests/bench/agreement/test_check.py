"""The check as its callers see it: families, what was judged, limits, hints, refusals."""

from dataclasses import replace

import pytest
import torch

from attnbench.bench.agreement.check import check
from attnbench.bench.agreement.families import FAMILIES
from attnbench.bench.agreement.inputs import applies, make_inputs
from attnbench.bench.agreement.oracle import Oracle, expectation
from attnbench.bench.agreement.properties import PROPERTIES
from attnbench.bench.registry.catalogue import catalogue
from attnbench.bench.registry.user_file import load_user_file
from attnbench.impls.contract import EVERYTHING, Implementation, Outputs, Refusal, parse_case
from tests.mutants.table import BACKWARD, CAUSAL, MUTANTS, SINGLE
from tests.soundness.variants import VARIANTS

HONEST = VARIANTS["tiles of 64"]


@pytest.fixture(scope="module")
def oracle():
    return Oracle()


def mutant(name):
    return next(m for m in MUTANTS if m.name == name)


def failures(name, oracle, **keywords):
    found = mutant(name)
    return check(load_user_file(found.path), parse_case(found.case), oracle, **keywords).agreement.failures


def test_says_which_families_ran_and_how_much_was_judged(oracle):
    found = check(HONEST, parse_case(CAUSAL), oracle).agreement
    assert set(found.families) == {f for f in FAMILIES if applies(f, parse_case(CAUSAL))}
    assert all(c.judged == 4 * 64 * (32 if c.output == "out" else 1) for c in found.comparisons)
    assert {"causality", "grouping", "ones", "linearity"} <= {c.name for c in found.checks}


def test_a_long_case_is_judged_on_a_sample_and_says_so(oracle):
    case = parse_case("b1-h2-s600-d16-causal-bf16-bwd")
    by_name = {
        c.output: c for c in check(HONEST, case, oracle, families=["normal"], properties=[]).agreement.comparisons
    }
    rows = len(oracle.expect(case, "normal", 0).rows)
    assert rows < 600
    assert by_name["out"].judged == by_name["dq"].judged == 2 * rows * 16
    assert by_name["dk"].judged == by_name["dv"].judged == 2 * 600 * 16


def test_only_the_asked_families_and_properties_run(oracle):
    found = check(HONEST, parse_case(CAUSAL), oracle, families=["spike"], properties=["ones"]).agreement
    assert found.families == ("spike",)
    assert {c.name for c in found.checks} & set(PROPERTIES) == {"ones"}


def test_families_that_say_nothing_are_refused_not_passed(oracle):
    with pytest.raises(Refusal, match="poison"):
        check(HONEST, parse_case(CAUSAL), oracle, families=["poison"])


def test_surroundings_are_left_alone_on_demand(oracle):
    found = check(HONEST, parse_case(CAUSAL), oracle, families=["normal"], surroundings=False).agreement
    assert "default dtype" not in {c.name for c in found.checks}
    assert "fresh results" in {c.name for c in found.checks}


def test_gradients_are_checked_and_a_missing_graph_is_refused(oracle):
    found = check(HONEST, parse_case(BACKWARD), oracle).agreement
    assert {"out", "lse", "dq", "dk", "dv"} == {c.output for c in found.comparisons}
    detached = replace(HONEST, prepare=lambda inputs: lambda: Outputs(HONEST.run(inputs).out.detach()))
    with pytest.raises(Refusal, match="no graph"):
        check(detached, parse_case(BACKWARD), oracle)


def test_a_forward_that_agrees_with_a_backward_that_does_not_is_wrong(oracle):
    found = failures("dq_unscaled", oracle)
    assert {f.output for f in found} == {"dq"}
    assert any("sqrt(D)" in f.hint for f in found)


def test_cpu_flash_backward_is_not_flagged_on_needles(oracle):
    case = parse_case("b1-h4-kv2-s64-d32-causal-bf16-bwd")
    assert check(catalogue()["sdpa_flash"], case, oracle).agreement.ok


def test_the_oracle_is_asked_once_for_all_implementations(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "attnbench.bench.agreement.oracle.expectation", lambda *a: (asked.append(a), expectation(*a))[1]
    )
    case = parse_case(CAUSAL)
    for _ in range(2):
        check(HONEST, case, Oracle(tmp_path))
    assert len(asked) == len(set(asked)), "what is stored is not computed again"
    assert list(tmp_path.glob("*.pt"))


def test_a_defect_of_late_rows_shows_though_early_rows_are_large(oracle):
    """2% on rows past 1000 drown in one norm over a causal output; they rule their own cell."""
    case = parse_case("b1-h2-s2048-d32-causal-fp32")

    def prepare(inputs):
        def call():
            found = HONEST.run(inputs)
            found.out[:, :, 1900:] *= 1 + 1e-4
            return Outputs(found.out)

        return call

    late = Implementation(name="late", summary="", prepare=prepare, features=EVERYTHING)
    found = check(late, case, oracle, families=["normal"], properties=[]).agreement
    assert not found.ok
    assert found.failures[0].max_error < found.failures[0].max_budget


HINTS = {
    "one_too_many": "one position too much",
    "top_left": "aligned top-left",
    "grouped_modulo": "head h % 2; it must be h // 2",
    "values_modulo": "takes its values from head",
    "unscaled": "not scaled",
    "scale_off": "factor of 1.02",
    "transposed_out": "[B, M, H, D]",
    "tail_dropped": "keys 64 to 69 are not read: the tail",
    "one_tile_dropped": "keys 576 to 639 are not read",
    "tail_unmasked": "padded with 58 keys of 0",
    "no_rescale": "accumulator is not rescaled when the maximum grows (tiles of 64)",
    "mask_after": "zeroed after the softmax",
    "mask_after_renormalised": "masked after the softmax and renormalised",
    "no_max": "without subtracting",
    "exp2_of_natural": "exp2",
    "tf32_products": "TF32",
    "sinks_ignored": "sinks are ignored",
    "query_tail_unwritten": "rows 192 to 199",
    "lse_base_2": "base 2",
    "dk_unscaled": "dk is off by sqrt(D)",
    "group_modulo": "summed over the wrong group",
    "first_head_of_group": "first query head of each group alone",
    "no_delta": "delta = rowsum(dout * out) is missing",
    "no_gradient_of_v": "detached",
    "fill_off": "one key beyond",
    "documents_leak": "cu_seqlens are ignored",
    "cached_by_shape": "cached",
    "masks_v_in_place": "the call changed them",
    "mean_of_empty": "mean of the values",
}


@pytest.mark.parametrize("name", HINTS)
def test_the_hint_names_the_mistake(name, oracle):
    found = failures(name, oracle)
    assert any(HINTS[name] in f.hint for f in found), [f.hint for f in found]


def test_no_hint_is_a_guess(oracle):
    """Noise that no known mistake makes is given no cause."""

    def prepare(inputs):
        noise = 1 + 0.3 * torch.randn(inputs.q.shape, generator=torch.Generator().manual_seed(0))
        return lambda: Outputs(HONEST.run(inputs).out * noise)

    noisy = Implementation(name="noisy", summary="", prepare=prepare, features=EVERYTHING)
    found = check(noisy, parse_case(SINGLE), oracle).agreement.failures
    assert found
    assert {f.hint for f in found} <= {""}


LIMITS = (
    "b1-h4-kv2-s64-d32-causal-bf16",
    "b2-h4-kv2-q1-k70-d32-full-cache:128:70/40-bf16",
    "b2-h4-s64-d32-full-padded:64/40-bf16",
    "b1-h2-s128-d64-causal-fp32",
)


@pytest.mark.parametrize("name", [n for n, i in catalogue().items() if i.known_limits])
def test_each_declared_limit_still_occurs(name, oracle):
    """A limit that no case shows any more must be taken out of the implementation."""
    implementation, seen, tried = catalogue()[name], set(), False
    for case in map(parse_case, LIMITS):
        if implementation.supports(case, "cpu") is None:
            tried = True
            limits = check(implementation, case, oracle, properties=[]).agreement.known_limits
            seen |= {limit.family for limit in limits if limit.seen}
    if not tried:
        pytest.skip("it can't run on this machine")
    assert seen == set(implementation.known_limits), "a declared limit no longer occurs"


def test_a_limit_that_does_not_occur_is_reported_as_not_seen(oracle):
    boastful = replace(HONEST, known_limits={"spike": "none, in truth"})
    (limit,) = check(boastful, parse_case(CAUSAL), oracle).agreement.known_limits
    assert not limit.seen


def test_inputs_are_the_same_bits_each_time_and_views_only_lie_differently():
    case = parse_case(CAUSAL)
    for family in FAMILIES:
        one, two = make_inputs(case, family, 3), make_inputs(case, family, 3)
        assert all(torch.equal(x, two.tensors()[name]) for name, x in one.tensors().items())
    plain, views = make_inputs(case, "normal", 3), make_inputs(case, "views", 3)
    assert torch.equal(plain.q, views.q)
    assert not views.q.is_contiguous()
    assert views.q.storage_offset() > 0
    assert bool(views.q.as_strided((views.q.untyped_storage().nbytes() // 2,), (1,), 0).isnan().any())


@pytest.mark.parametrize(
    "text", ["b2-h4-s64-d32-full-padded:64/40-fp32", SINGLE, "b1-h2-s90-d16-full-packed:33/1/56-fp32"]
)
def test_spikes_are_hidden_from_queries_that_see_none(text):
    from attnbench.impls.contract.tensors import visible

    case = parse_case(text)
    inputs = make_inputs(case, "spike", 0)
    k = inputs.k.repeat_interleave(case.groups, dim=1)
    high = (inputs.q @ k.transpose(-1, -2) * case.score_scale) > 100
    seen = visible(case)
    towered = (high & ~seen).any(-1) & ~(high & seen).any(-1)
    assert towered.float().mean() > 0.2
