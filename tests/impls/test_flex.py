"""FlexAttention: what torch refuses is what is refused here; masks are shared; the eager form is never timed."""

import pytest
import torch

from attnbench.bench.agreement.inputs import make_inputs
from attnbench.bench.records.store import read_run
from attnbench.bench.registry.catalogue import find
from attnbench.impls.contract import parse_case
from attnbench.impls.flex import compiling, preparing


def keywords_of(text):
    """What flex_attention is called with for a case."""
    seen = {}

    def attend(q, k, v, **keywords):
        seen.update(keywords)
        return q

    preparing(lambda: attend)(make_inputs(parse_case(text)))()
    return seen


def test_torch_still_refuses_a_backward_on_a_cpu_in_these_words():
    from torch.nn.attention.flex_attention import flex_attention

    reason = find("flex").supports(parse_case("b1-h2-s16-d16-full-fp32-fwd+bwd"), "cpu")
    q = torch.randn(1, 2, 16, 16, requires_grad=True)
    with pytest.raises(NotImplementedError) as said:
        flex_attention(q, q, q)
    assert reason.split(" (")[0] in str(said.value)


def test_torch_still_refuses_the_lse_on_a_cpu_in_these_words():
    from torch.nn.attention.flex_attention import AuxRequest, flex_attention

    assert "`return_lse` is not supported yet" in find("flex").supports(
        parse_case("b1-h2-s16-d16-full-sinks-fp32"), "cpu"
    )
    q = torch.randn(1, 2, 16, 16)
    with pytest.raises(Exception, match="`return_lse` is not supported yet"):
        torch.compile(
            lambda: flex_attention(q, q, q, return_aux=AuxRequest(lse=True)), dynamic=False, fullgraph=True
        )()


def test_a_mask_is_made_once_for_all_that_share_it():
    first = keywords_of("b2-h4-kv2-q5-k16-d16-causal-cache:24:16/9-fp32")["block_mask"]
    assert keywords_of("b2-h2-q5-k16-d32-causal-cache:24:16/9-cap3-bf16")["block_mask"] is first
    assert keywords_of("b2-h2-q5-k16-d32-causal-cache:24:16/8-bf16")["block_mask"] is not first


def test_what_needs_no_mask_has_none():
    assert keywords_of("b1-h2-s16-d16-full-fp32") == {
        "score_mod": None, "block_mask": None, "scale": None, "enable_gqa": False,
    }  # fmt: skip


def test_no_case_runs_uncompiled_because_there_were_many():
    import torch._dynamo.config as dynamo

    before = dynamo.recompile_limit
    with compiling():
        assert dynamo.recompile_limit > 1_000_000
        assert dynamo.accumulated_recompile_limit > 1_000_000
    assert dynamo.recompile_limit == before


def test_the_eager_form_is_checked_and_never_timed(bench, tmp_path):
    arguments = ("--q-len", "16", "--q-heads", "2", "--head-dim", "16", "--dtype", "fp32", "--budget", "0.01")
    done = bench("run", "--impl", "flex_eager", "--impl", "masked_fill", "--out", tmp_path / "run", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    records = {record.implementation: record for record in read_run(tmp_path / "run").records}
    assert records["flex_eager"].measurement is None
    assert any("not timed: uncompiled FlexAttention" in note for note in records["flex_eager"].notes)
    assert records["masked_fill"].measurement is not None
    assert not any("not timed" in note for note in records["masked_fill"].notes)
