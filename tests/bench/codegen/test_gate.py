from dataclasses import replace as replaced

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnbench.bench.codegen import baselines
from attnbench.bench.codegen.binary import advisories
from attnbench.bench.codegen.facts import Facts, LoopFacts
from attnbench.bench.codegen.gate import Finding, Level, compare, judge, loop_difference, missing
from attnbench.bench.codegen.target import SHIPPED

LOOP = LoopFacts(
    partition="all warps",
    warps=4,
    address=0x1200,
    instructions=600,
    tensor=128,
    spills=0,
    async_copies=8,
    barriers=2,
    waits=1,
    ffma=68,
    mix={"tensor": 128, "ffma": 68, "float": 404},
    opcodes={"HMMA": 128, "FFMA": 68, "FADD": 404},
    ratio=3.7,
)
GOOD = Facts(
    group="triton_fused",
    config="forward-d64-full-bf16",
    target="sm_90",
    registers=200,
    shared_bytes=32768,
    shared_limit=232448,
    warps=4,
    ctas_per_sm=2,
    limit="registers",
    tensor_class="HMMA",
    ratio=3.7,
    ratio_all=3.7,
    exposed=0.5,
    macs=1048576,
    loops=(LOOP,),
    triton="3.7.1",
)


def change(facts=GOOD, loop=None, **fields):
    loops = (msgspec.structs.replace(LOOP, **(loop or {})),)
    return msgspec.structs.replace(facts, loops=loops, **fields)


def found(after, before=GOOD):
    return {finding.metric: finding.level for finding in compare(before, after)}


def test_the_same_code_raises_nothing():
    assert compare(GOOD, GOOD) == ()


@pytest.mark.parametrize(
    ("after", "metric", "level"),
    [
        (change(failure="PTXASError: error"), "compilation", "FAIL"),
        (change(tensor_class=""), "tensor class", "FAIL"),
        (change(tensor_class="HGMMA"), "tensor class", "FAIL"),
        (change(shared_bytes=232449), "shared memory", "FAIL"),
        (change(shared_bytes=232448), None, None),
        (change(ctas_per_sm=1), "CTAs per SM", "FAIL"),
        (change(ctas_per_sm=3), None, None),
        (change(spills_in_loop=1), "spills in the loop", "FAIL"),
        (change(spills_outside=50, stack_bytes=200), None, None),
        (change(ratio=3.7 * 1.049), None, None),
        (change(ratio=3.7 * 1.051), "ratio", "WARN"),
        (change(ratio=3.7 * 1.101), "ratio", "FAIL"),
        (change(ratio=3.7 * 0.8), None, None),
        (change(loop={"ffma": 34}), None, None),
        (change(loop={"ffma": 33}), "FFMA in the loop", "FAIL"),
        (change(exposed=0.59), None, None),
        (change(exposed=0.6), "exposed softmax", "FAIL"),
        (change(serialised=True), "wgmma", "FAIL"),
        (change(advisories=("C7515 wgmma.mma_async instructions are serialized",)), "ptxas advisory", "WARN"),
        (change(loop={"waits": 2}), "waits in the loop", "FAIL"),
        (change(loop={"barriers": 3}), "barriers in the loop", "FAIL"),
        (change(loop={"barriers": 3}, macs=2 * 1048576), None, None),
        (change(loop={"async_copies": 0}), "asynchronous copies", "FAIL"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_rule_fires_at_its_threshold_and_not_before(after, metric, level):
    assert found(after) == ({metric: level} if metric else {})


def test_spills_that_were_there_may_shift_a_little():
    before = change(spills_in_loop=58)
    assert found(change(spills_in_loop=60), before) == {}
    assert found(change(spills_in_loop=64), before) == {"spills in the loop": "FAIL"}


def test_a_finding_says_metric_before_after_and_the_loop():
    after = change(loop={"opcodes": {"HMMA": 128, "FADD": 472, "STL": 3}, "ffma": 0}, spills_in_loop=3)
    finding = next(f for f in compare(GOOD, after) if f.metric == "spills in the loop")
    assert str(finding) == (
        "FAIL triton_fused/sm_90/forward-d64-full-bf16: spills in the loop 0 -> 3 "
        "(registers go to local memory in every iteration)"
    )
    assert finding.loop == ("FADD 404 -> 472", "FFMA 68 -> 0", "STL 0 -> 3")
    assert loop_difference(GOOD, GOOD) == ()


def test_a_new_configuration_is_noted_and_one_that_is_gone_fails():
    other = msgspec.structs.replace(GOOD, config="forward-d128-full-bf16")
    assert [f.level for f in judge([GOOD], [GOOD, other])] == [Level.NOTE]
    gone = missing([GOOD, other], [GOOD])
    assert [(f.level, f.config) for f in gone] == [(Level.FAIL, other.id)]


def test_an_advisory_is_read_from_what_ptxas_printed():
    said = "wgmma.mma_async instructions are serialized due to insufficient register resources"
    log = f"""ptxas info    : (C7510) Potential Performance Loss: {said} in the function 'forward'
ptxas info    : Used 255 registers, used 1 barriers
"""
    assert advisories(log) == (f"C7510 {said}",)
    assert advisories("ptxas info    : Used 64 registers") == ()


def test_a_failure_is_found_without_a_baseline_too():
    assert found(change(failure="no"), None)["compilation"] is Level.FAIL


def test_one_that_never_compiled_fails_only_while_it_doesnt():
    assert found(GOOD, change(failure="no")) == {}


@given(factor=st.floats(0.1, 5.0), waits=st.integers(0, 3), spills=st.integers(0, 3))
def test_findings_are_ordered_worst_first(factor, waits, spills):
    after = change(ratio=3.7 * factor, loop={"waits": waits}, spills_in_loop=spills)
    levels = [list(Level).index(f.level) for f in judge([GOOD], [after])]
    assert levels == sorted(levels)


def test_a_baseline_comes_back_as_it_was_written(tmp_path):
    (path,) = baselines.save(tmp_path, [GOOD])
    assert path.relative_to(tmp_path).as_posix() == "triton_fused/sm_90-triton-3.7.1.json"
    assert baselines.load(tmp_path, [GOOD]) == (GOOD,)
    assert baselines.read_facts(path) == (GOOD,)


def test_rebaselining_some_keeps_the_others(tmp_path):
    other = msgspec.structs.replace(GOOD, config="forward-d128-full-bf16")
    baselines.save(tmp_path, [GOOD, other])
    baselines.save(tmp_path, [msgspec.structs.replace(GOOD, registers=64)])
    kept = {facts.config: facts.registers for facts in baselines.load(tmp_path, [GOOD])}
    assert kept == {"forward-d64-full-bf16": 64, "forward-d128-full-bf16": 200}


def test_another_tritons_baseline_is_not_taken_for_this_ones(tmp_path):
    baselines.save(tmp_path, [GOOD])
    newer = msgspec.structs.replace(GOOD, triton="3.10.0")
    with pytest.raises(baselines.BaselineError, match=r"3\.10\.0.*sm_90-triton-3\.7\.1\.json.*--rebaseline"):
        baselines.load(tmp_path, [newer])


def test_a_file_that_is_no_baseline_is_named(tmp_path):
    file = tmp_path / "x.json"
    file.write_text("{")
    with pytest.raises(baselines.BaselineError, match=r"x\.json"):
        baselines.read_facts(file)
    file.write_text('{"schema": 9, "group": "a", "target": "b", "triton": "c", "facts": []}')
    with pytest.raises(baselines.BaselineError, match="schema 9"):
        baselines.read_facts(file)


def test_a_finding_is_printable_without_a_loop():
    assert replaced(Finding(Level.WARN, "a", "b", "1", "2", "c"), loop=()).loop == ()


@pytest.mark.parametrize("target", SHIPPED)
def test_the_committed_baselines_hold_what_is_shipped_and_it_can_be_launched(target):
    files = sorted((baselines.FOLDER / "triton_fused").glob(f"{target}-triton-*.json"))
    assert files, "python -m bench codegen triton_fused --rebaseline"
    for file in files:
        facts = baselines.read_facts(file)
        assert {f.config for f in facts} >= {
            f"{phase}-d{head_dim}-{mask}-bf16"
            for phase in ("forward", "backward_dq", "backward_dkv", "decode")
            for head_dim in (64, 128)
            for mask in ("full", "causal")
        }
        assert [f.config for f in facts if f.failure or not f.ctas_per_sm or f.unknown_opcodes] == []
