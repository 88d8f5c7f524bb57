"""A kernel that breaks its process ends one record with its own status; the sweep goes on."""

import json

import pytest

CASE = "b1-h4-kv2-s16-d8-full-fp32"


EXPECTED = {
    "segfaults": ("CRASHED", "killed by SIGSEGV"),
    "hangs": ("TIMEOUT", "no answer to check within 5 s"),
    "exits": ("ERROR", "called exit(3)"),
    "leaves_at_once": ("CRASHED", "exited with code 7"),
    "raises_unpicklable": ("ERROR", "what a strange error"),
    "out_of_memory": ("OUT_OF_MEMORY", "memory"),
    "forks": ("ERROR", "both of us raise this"),
    "changes_default_dtype": ("WRONG", "default dtype"),
    "closes_stdin": ("PASSED", ""),
    "writes_into_q": ("WRONG", "wrote into q"),
    "masked_fill": ("PASSED", ""),
}


@pytest.fixture(scope="module")
def records(bench, kernels):
    names = [name for name in EXPECTED if name != "masked_fill"]
    chosen = [word for name in names for word in ("--impl", f"{kernels}/hostile.py:{name}")]
    done = bench("check", *chosen, "--impl", "masked_fill", "--case", CASE, "--timeout", "5", "--json", "-")
    assert done.returncode == 1, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == len(names) + 1
    return {row["implementation"].split(":")[-1]: (row["status"], row.get("reason", "")) for row in rows}


@pytest.mark.parametrize("name", EXPECTED)
def test_each_fault_is_told_as_what_it_was(records, name):
    status, words = EXPECTED[name]
    assert records[name][0] == status, records[name]
    assert words in records[name][1]
