"""Conventions through the front door: found by trying, followed when declared, named where one is not."""

import json
from pathlib import Path

import pytest

FILE = "tests/kernels/conventional.py"
DOES = {
    "top_left": ("causal", "top-left"),
    "mean_of_values": ("empty_rows", "mean"),
    "not_a_number": ("empty_rows", "nan"),
    "counts_query": ("window", "counts-query"),
    "softcap_last": ("softcap", "after-mask"),
    "base_two": ("lse_base", "2"),
    "lse_of_keys": ("lse_sinks", "without"),
}
CASES = (
    "b1-h4-kv2-q7-k12-d16-causal-fp32-fwd+bwd",
    "b1-h2-q12-k7-d16-causal-bf16",
    "b2-h4-kv2-s9-d16-full-padded:9/0-fp32-fwd+bwd",
    "b2-h2-s9-d16-full-padded:9/0-bf16",
    "b1-h2-s12-d16-window:3:0-fp32",
    "b1-h2-s9-d16-full-cap2-additive-fp32-fwd+bwd",
    "b1-h2-s9-d16-full-sinks-fp32",
    "b1-h2-s9-d16-full-fp32",
)
SHOWN = {
    "top_left": CASES[:2],
    "mean_of_values": CASES[1:4],
    "not_a_number": CASES[1:4],
    "counts_query": (CASES[4],),
    "softcap_last": (CASES[5],),
    "base_two": (CASES[7],),
    "lse_of_keys": (CASES[6],),
}
"""Cases in which each of them gives something else than the default convention."""


def names(*more):
    return [word for name in (*DOES, *more) for word in ("--impl", f"{FILE}:{name}")]


def cases():
    return [word for case in CASES for word in ("--case", case)]


@pytest.fixture(scope="module")
def declared(tmp_path_factory):
    """The same kernels, each declaring what it does."""
    path = tmp_path_factory.mktemp("declared") / "declared.py"
    said = "".join(f"{name}.conventions = {{{key!r}: {value!r}}}\n" for name, (key, value) in DOES.items())
    path.write_text(Path(FILE).read_text() + said)
    return path


def test_what_a_kernel_really_does_is_found_beside_what_it_declares(bench):
    done = bench("conventions", *names(), "--json")
    assert done.returncode == 1
    for name, found in json.loads(done.stdout).items():
        convention, value = DOES[name.rpartition(":")[2]]
        rows = {row["convention"]: row for row in found}
        assert (rows[convention]["does"], rows[convention]["as_declared"]) == (value, False), name
        assert all(row["as_declared"] for row in found if row["convention"] != convention), name


def test_kernels_that_declare_what_they_do_are_as_declared(bench, declared):
    asked = [word for name in DOES for word in ("--impl", f"{declared}:{name}")]
    done = bench("conventions", *asked, "--markdown")
    assert done.returncode == 0, done.stderr
    assert f"|{declared}:top_left|top-left|" in done.stdout


def test_a_declared_convention_agrees_and_the_verdict_says_under_what(bench, declared, tmp_path):
    asked = [word for name in DOES for word in ("--impl", f"{declared}:{name}")]
    done = bench("check", *asked, *cases(), "--json", tmp_path / "found.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "found.jsonl").read_text().splitlines()]
    assert done.returncode == 0, done.stdout
    assert f"{declared}:top_left agrees, under: causal top-left" in done.stdout
    for name, (convention, value) in DOES.items():
        under = [
            row["agreement"].get("conventions")
            for row in rows
            if row["implementation"].endswith(f":{name}") and row["status"] == "PASSED"
        ]
        assert {convention: value} in under, name


def test_an_undeclared_one_is_wrong_where_it_shows_and_the_message_says_how_to_declare_it(bench, tmp_path):
    done = bench("check", *names(), *cases(), "--json", tmp_path / "found.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "found.jsonl").read_text().splitlines()]
    assert done.returncode == 1
    for name, (convention, value) in DOES.items():
        wrong = [row for row in rows if row["implementation"].endswith(f":{name}") and row["status"] == "WRONG"]
        assert len(wrong) == len(SHOWN[name]), (name, [row["reason"] for row in wrong])
        assert any(f"--convention {convention}={value}" in row["reason"] for row in wrong), (
            name,
            wrong[0]["reason"],
        )


def test_a_wrong_kernel_stays_wrong_under_another_convention(bench):
    wrong = ("--impl", f"{FILE}:counts_query", "--impl", "tests/kernels/honest.py:attention")
    done = bench("check", *wrong, "--case", CASES[0], "--case", CASES[4], "--convention", "causal=top-left")
    assert done.returncode == 1
    assert "0 agree, 3 disagree" in done.stdout
    assert "the mask is aligned bottom-right, not top-left as declared" in done.stdout
    assert "--convention causal=top-left" in next(line for line in done.stdout.splitlines() if "repeat:" in line)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("casual=top-left", "there is no convention 'casual'"),
        ("causal=middle", "causal can't be 'middle'; it is bottom-right"),
    ],
)
def test_a_convention_without_sense_is_one_clear_line(bench, said, words):
    done = bench("check", "--impl", f"{FILE}:top_left", "--convention", said)
    assert done.returncode == 2
    assert words in done.stderr
