"""``check`` without a case or a sweep: what is claimed is tried, and what is wrong comes out."""

import pytest

HEAD = """
import torch

def plain(q, k, v, scale, hidden=None, sinks=None):
    groups = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(groups, 1).float(), v.repeat_interleave(groups, 1).float()
    s = q.float() @ k.mT * (q.shape[-1] ** -0.5 if scale is None else scale)
    if hidden is not None:
        s = s.masked_fill(hidden, -torch.inf)
    if sinks is not None:
        s = torch.cat([s, sinks[None, :, None, None].expand(*s.shape[:3], 1)], -1)
    p = s.softmax(-1).nan_to_num()
    return (p[..., :k.shape[2]] @ v).to(q.dtype)

def later(q, k):
    return torch.ones(q.shape[2], k.shape[2], dtype=torch.bool).triu(k.shape[2] - q.shape[2] + 1)
"""

WRONG = {
    "scale is ignored": """
def attention(q, k, v, *, scale=None):
    return plain(q, k, v, None)
""",
    "sinks are ignored": """
def attention(q, k, v, *, sinks=None):
    return plain(q, k, v, None)
""",
    "all rows read the first row's values": """
def attention(q, k, v):
    return plain(q, k, v[:1].expand(v.shape), None)
""",
    "wrong from the ninth head on": """
def attention(q, k, v):
    out = plain(q, k, v, None)
    return torch.cat([out[:, :8], 0 * out[:, 8:]], 1)
""",
    "the tail of head_dim beyond 64 is not read": """
def attention(q, k, v):
    return plain(q[..., :64] , k[..., :64], v, q.shape[-1] ** -0.5)
""",
    "causal is aligned top-left": """
def attention(q, k, v, *, causal=False):
    hidden = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool).triu(1) if causal else None
    return plain(q, k, v, None, hidden)
""",
    "causal is lost where sinks are given": """
def attention(q, k, v, *, causal=False, sinks=None):
    return plain(q, k, v, None, later(q, k) if causal and sinks is None else None, sinks)
""",
}


@pytest.fixture
def kernel(tmp_path):
    def write(body):
        path = tmp_path / "kernel.py"
        path.write_text(HEAD + body)
        return f"{path}:attention"

    return write


@pytest.mark.parametrize("what", WRONG)
def test_a_defect_in_what_is_claimed_is_found_without_naming_a_case(bench, kernel, what):
    done = bench("check", "--impl", kernel(WRONG[what]), "--exitfirst")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "WRONG" in done.stdout


def test_the_table_names_every_claim_and_an_inference_kernel_has_no_backward(bench, kernel):
    body = """
@torch.no_grad()
def attention(q, k, v, *, causal=False, scale=None):
    return plain(q, k, v, scale, later(q, k) if causal else None)
"""
    done = bench("check", "--impl", kernel(body), "--depth", "quick")
    assert done.returncode == 0, done.stdout
    table = done.stdout[done.stdout.index("claims:") :].splitlines()
    verdicts = {line[2:].split("  ")[0].strip(): line for line in table[2:]}
    assert "not claimed when called: its output carries no graph" in verdicts["backward"]
    for name in (
        "plain attention",
        "causal",
        "scale",
        "gqa",
        "q_len != kv_len",
        "v_head_dim",
        "fp32",
        "bf16",
        "fp16",
    ):
        assert verdicts[name].endswith("agrees"), name


def test_the_table_tells_who_is_to_blame(bench, kernel):
    body = """
def attention(q, k, v, *, causal=False, sinks=None):
    return plain(q, k, v, None, later(q, k) if causal else None)
"""
    done = bench("check", "--impl", kernel(body), "--depth", "quick")
    assert done.returncode == 1
    lines = {line.split()[0]: line for line in done.stdout.splitlines() if line.startswith("  ")}
    assert lines["sinks"].endswith("wrong, alone as well")
    assert lines["causal"].endswith("agrees alone")


def test_equal_errors_are_told_once_and_counted_apart_from_what_is_wrong(bench, kernel):
    body = """
def attention(q, k, v):
    raise RuntimeError("no such " + "kernel image")
"""
    done = bench("check", "--impl", kernel(body), "--depth", "quick")
    assert done.returncode == 1
    assert done.stdout.count("no such kernel image") == 1
    assert " 0 disagree, " in done.stdout
    assert "  the same on b3-" in done.stdout


def test_what_is_claimed_and_not_there_is_not_passed_over(bench):
    done = bench("check", "--impl", "flash_attn3", "--depth", "quick")
    assert done.returncode == 3
    assert "flash_attn3: claimed, not tried: " in done.stdout


def test_depth_goes_with_no_case(bench):
    done = bench("check", "--depth", "deep", "--case", "b1-h2-s16-d8-full-fp32")
    assert done.returncode == 2
    assert "leave out --sweep and --case" in done.stderr
