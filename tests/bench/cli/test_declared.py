"""What a stranger's function says of itself, through ``check``: refusals, declarations, errors with his own lines."""

import json

import pytest

from attnbench.bench.registry.loading import UserFileError
from attnbench.bench.registry.user_file import wrap

CASE = "b1-h2-s16-d8-causal-fp32"
GROUPED = "b1-h4-kv2-s16-d8-causal-fp32"
BACKWARD = "b1-h2-s16-d8-causal-fp32-fwd+bwd"
PLAIN = """
import sys
import torch

def attention(q, k, v, *, causal=False, scale=None):
    {first}
    scores = (q @ k.mT) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if causal:
        seen = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool).tril(k.shape[2] - q.shape[2])
        scores = scores.masked_fill(~seen, -torch.inf)
    return torch.nan_to_num(scores.softmax(-1)) @ v

{after}
"""


@pytest.fixture
def check(bench, tmp_path):
    """Check a function whose first line and whose declarations are given; the finished process and its records."""

    def run(*arguments, first="pass", after="", code=PLAIN, cases=(CASE,)):
        (tmp_path / "mine.py").write_text(code.format(first=first, after=after))
        asked = [word for case in cases for word in ("--case", case)]
        found = tmp_path / "found.jsonl"
        done = bench("check", "--impl", "mine.py:attention", *asked, "--json", found, *arguments, cwd=tmp_path)
        rows = [json.loads(line) for line in found.read_text().splitlines()] if found.exists() else []
        return done, rows

    return run


def test_not_implemented_is_a_refusal_with_its_text(check):
    first = "if q.shape[1] != k.shape[1]: raise NotImplementedError('grouped heads: next year')"
    done, (plain, grouped) = check(first=first, cases=(CASE, GROUPED))
    assert done.returncode == 0, done.stdout
    assert (plain["status"], grouped["status"]) == ("PASSED", "UNSUPPORTED")
    assert grouped["reason"] == "grouped heads: next year"


def test_a_declared_exception_is_a_refusal_as_well_and_an_undeclared_one_is_not(check):
    first, after = "raise KeyError('odd shape')", "attention.refusals = [KeyError]"
    done, (row,) = check(first=first, after=after)
    assert (done.returncode, row["status"]) == (3, "UNSUPPORTED")
    done, (row,) = check(first=first)
    assert (done.returncode, row["status"]) == (1, "ERROR")


def test_a_backward_that_is_not_implemented_is_a_refusal(check):
    code = """
import torch
class F(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, v):
        return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    @staticmethod
    def backward(ctx, dout):
        raise NotImplementedError("forward only")
def attention(q, k, v, *, causal=False):
    return F.apply(q, k, v)
"""
    _, (row,) = check(code=code, cases=(BACKWARD,))
    assert (row["status"], row["reason"]) == ("UNSUPPORTED", "forward only")


def test_a_property_whose_derived_case_is_refused_is_not_tried(check):
    first = "if q.shape[2] != 16 or k.shape[2] != 16: raise NotImplementedError('16 rows alone')"
    done, (row,) = check(first=first, cases=("b1-h2-s16-d8-full-fp32",))
    assert (done.returncode, row["status"]) == (0, "PASSED"), row


DECLARED = """
import torch
def attention(q, k, v, *, causal=False):
    return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=True)
def copy():
    return lambda q, k, v, *, causal=False: attention(q, k, v, causal=causal)
ungrouped, forward, halves, distant = copy(), copy(), copy(), copy()
ungrouped.features = {"-gqa"}
forward.features = ["causal", "gqa"]
halves.dtypes = ("fp16", "bf16")
distant.devices = "cuda"
"""


def test_attributes_withdraw_what_is_assumed(bench, tmp_path):
    (tmp_path / "mine.py").write_text(DECLARED)
    case = f"{GROUPED}-fwd+bwd"
    names = [
        word for name in ("ungrouped", "forward", "halves", "distant") for word in ("--impl", f"mine.py:{name}")
    ]
    done = bench("check", *names, "--impl", "mine.py:attention", "--case", case, "--json", "-", cwd=tmp_path)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row.get("reason") for row in rows] == [
        "does not do gqa",
        "does not do backward",
        "takes fp16, bf16, not fp32",
        "runs on cuda, not on cpu",
        None,
    ]
    assert {row["status"] for row in rows} == {"UNSUPPORTED", "PASSED"}


def test_options_withdraw_it_too_and_the_repeat_command_keeps_them(check):
    cases = (GROUPED, "b1-h2-s16-d8-causal-bf16", CASE)
    done, rows = check("--without", "gqa,bf16", cases=cases, first="raise ValueError('no')")
    assert [row["status"] for row in rows] == ["UNSUPPORTED", "UNSUPPORTED", "ERROR"]
    repeat = next(line for line in done.stdout.splitlines() if "repeat:" in line)
    assert "--without gqa,bf16" in repeat


@pytest.mark.parametrize(
    ("attribute", "value", "words"),
    [
        ("features", {"gqqa"}, "there is no feature 'gqqa'"),
        ("features", ["softcap"], "declares softcap, but no parameter"),
        ("features", ["-gqa", "causal"], "not both"),
        ("features", 7, "must be a list of words, not 7"),
        ("dtypes", ["float8"], "dtypes holds 'float8'; there are fp16"),
        ("dtypes", [], "dtypes is empty"),
        ("refusals", [Exception], "more special than Exception"),
        ("refusals", ["ValueError"], "more special than Exception"),
    ],
)
def test_a_declaration_without_sense_says_what_is_wrong(attribute, value, words):
    def attention(q, k, v, *, causal=False):
        return q

    setattr(attention, attribute, value)
    with pytest.raises(UserFileError, match=words):
        wrap("mine.py:attention", attention)


def test_a_declaration_without_sense_is_one_clear_line(check):
    done, _ = check(after="attention.features = {'gqqa'}")
    assert done.returncode == 2
    assert "mine.py:attention: there is no feature 'gqqa'" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_option_without_sense_is_one_clear_line(check):
    done, _ = check("--without", "gqqa")
    assert done.returncode == 2
    assert "--without 'gqqa' is neither a feature nor a dtype" in done.stderr


def test_an_error_shows_the_strangers_own_lines_and_is_told_once(check):
    code = """
import torch
def inner(x):
    return x.reshape(3, 5, 7)  # the line to blame
def attention(q, k, v, *, causal=False):
    return inner(q)
"""
    cases = (CASE, "b1-h2-s16-d8-full-fp32")
    done, rows = check(code=code, cases=cases)
    assert all(row["status"] == "ERROR" for row in rows)
    frames = rows[0]["traceback"]
    assert [frame.split(": ")[1] for frame in frames] == [
        "return inner(q)",
        "return x.reshape(3, 5, 7)  # the line to blame",
    ]
    assert "mine.py:6 in attention" in frames[0]
    assert "mine.py:4 in inner" in done.stdout
    assert done.stdout.count("the line to blame") == 1
    assert f"the same on {cases[1]}" in done.stdout
    assert "0 agree, 0 disagree, 2 broke" in done.stdout


def test_the_cause_of_an_error_is_told_with_its_line(check):
    first = """
    try:
        q.no_such_attribute  # the cause
    except AttributeError as error:
        raise ValueError("told otherwise") from error"""
    _, (row,) = check(first=first)
    assert any("the cause" in frame for frame in row["traceback"])


def test_a_wrong_result_and_an_error_are_counted_apart(check):
    first = "if q.shape[1] != k.shape[1]: raise ValueError('no')\n    v = v * 2"
    done, _ = check(first=first, cases=(CASE, GROUPED))
    assert "0 agree, 1 disagree, 1 broke" in done.stdout


def test_a_function_sees_no_arguments_of_the_command(check):
    done, (row,) = check(first="assert len(sys.argv) == 1, sys.argv")
    assert (done.returncode, row["status"]) == (0, "PASSED"), row.get("reason")


HARMLESS = """
import torch
from torch.nn.functional import scaled_dot_product_attention

def passes_the_mask_on(q, k, v, *, mask=None):
    return scaled_dot_product_attention(q, k, v, attn_mask=mask)

def reads_a_cache(q, k, v, *, causal=False, cache_lengths=None):
    seen = (torch.arange(k.shape[2]) < cache_lengths[:, None])[:, None, None]
    return scaled_dot_product_attention(q, k, v, attn_mask=seen)

def writes_into_the_mask(q, k, v, *, mask=None):
    out = scaled_dot_product_attention(q, k, v, attn_mask=mask)
    if mask is not None:
        mask.logical_not_()
    return out

def wants_its_dtype(q, k, v, *, mask=None):
    if torch.get_default_dtype() != torch.float32:
        raise TypeError("float32 is taken for granted")
    return scaled_dot_product_attention(q, k, v, attn_mask=mask)

def sees_padding(q, k, v, *, mask=None):
    return scaled_dot_product_attention(q, k, v)
"""
PADDED = "b2-h2-s16-d8-full-padded:16/9-fp32"
CACHED = "b2-h2-q1-k16-d8-full-cache:24:16/9-fp32"


def test_what_is_told_without_being_called_wrong(bench, tmp_path):
    (tmp_path / "mine.py").write_text(HARMLESS)
    names = ("passes_the_mask_on", "writes_into_the_mask", "wants_its_dtype", "sees_padding", "reads_a_cache")
    asked = [word for name in names for word in ("--impl", f"mine.py:{name}")]
    cases = ("--case", PADDED, "--case", CACHED)
    done = bench("check", *asked, *cases, "--json", "found.jsonl", cwd=tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "found.jsonl").read_text().splitlines()]
    ended = {row["implementation"].split(":")[1]: row for row in rows if row["status"] != "UNSUPPORTED"}
    assert {name: row["status"] for name, row in ended.items()} == {
        "passes_the_mask_on": "PASSED",
        "writes_into_the_mask": "WRONG",
        "wants_its_dtype": "PASSED",
        "sees_padding": "WRONG",
        "reads_a_cache": "WRONG",
    }
    assert "note: mine.py:passes_the_mask_on: reads padding: NaN that stands there reaches out" in done.stdout
    assert "note: mine.py:wants_its_dtype: no default dtype, on 1 case" in done.stdout
    assert ended["writes_into_the_mask"]["reason"] == "inputs unchanged: the call wrote into mask"
    assert "on poison inputs" in ended["reads_a_cache"]["reason"]
