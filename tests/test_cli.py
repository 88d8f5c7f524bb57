"""The command line as people and scripts meet it: help, bad input, exit codes."""

import json
import os
import stat

import pytest

CASE = "b1-h4-kv2-s16-d8-causal-fp32"


def test_help_shows_every_command_without_torch(fresh):
    code = (
        "import sys; from click.testing import CliRunner; from attnbench.bench.__main__ import main; "
        "r = CliRunner().invoke(main, ['--help']); "
        "print(all(word in r.output for word in ('list', 'check', 'run', 'report')), 'torch' in sys.modules)"
    )
    assert fresh(code) == "True False"


@pytest.mark.parametrize(
    "command",
    [
        "list",
        "check",
        "audit",
        "run",
        "sweep",
        "mask",
        "codegen",
        "report",
        "gate",
        "baseline",
        "compare",
        "conventions",
        "gate-selfcheck",
    ],
)
def test_each_command_has_help_with_an_example(bench, command):
    done = bench(command, "--help")
    assert done.returncode == 0
    assert f"python -m bench {command}" in done.stdout


@pytest.mark.parametrize(
    "room",
    [
        "attnbench.impls.contract",
        "attnbench.bench.records.store",
        "attnbench.reports.html",
        "attnbench.reports.terminal",
        "attnbench.bench.run",
        "attnbench.bench.gate.paired.sides",
        "attnbench.bench.gate.stored.judge",
    ],
)
def test_rooms_that_must_not_import_torch(fresh, room):
    assert fresh(f"import sys, {room}; print('torch' in sys.modules)") == "False"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["chekc"], "Did you mean check"),
        (["check", "--sweep", "smok"], "smoke"),
        (["check", "--impl", "sdpa_flsh"], "did you mean sdpa_flash"),
        (["check", "--device", "gpu"], "there are cpu, cuda, xpu, mps"),
        (["check", "--device", "cuda"], "sees no GPU"),
        (["check", "--device", "xpu"], "device xpu is not there"),
        (["run", "--device", "mps"], "device mps is not there"),
        (["check", "--impl", "no_such_file.py:attention"], "there is no file no_such_file.py"),
        (["check", "--impl", "tests/kernels/honest.py"], "name the function as well"),
        (["check", "--impl", "tests/kernels/honest.py:atention"], "it has attention"),
        (["check", "--impl", "tests/kernels/honest.py:NOT_A_FUNCTION"], "is of type int, not a function"),
        (["check", "--case", "b1-h4-kv3-s16-d8-full-fp32"], "kv_heads 3 does not divide q_heads 4"),
        (["check", "--case", "nonsense"], "nonsense"),
        (["check", "--case", "b1-h4-s16-d8-full-fp32", "--sweep", "smoke"], "--case and --sweep: give one of them"),
        (["codegen", "triton_fused", "--gate", "no/such/folder"], "there is no folder no/such/folder"),
        (["check", "--families", "needel"], "there are normal"),
        (["check", "--timeout", "0"], "--timeout must be more than 0"),
        (["run", "--resume"], "--resume needs --out"),
        (["run", "--impl", "masked_fill", "--out", "/proc/nowhere"], "give another folder with --out"),
        (["run", "--impl", "masked_fill", "--reference", "sdpa"], "--reference 'sdpa' is not in this run"),
    ],
)  # fmt: skip
def test_bad_input_is_one_clear_line_and_exit_2(bench, arguments, words):
    done = bench(*arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_that_does_not_import_is_one_line(bench, tmp_path):
    broken = tmp_path / "broken kernel.py"
    broken.write_text("import no_such_package\n")
    done = bench("check", "--impl", f"{broken}:attention")
    assert done.returncode == 2
    assert "does not import: ModuleNotFoundError: No module named 'no_such_package'" in done.stderr


def test_check_agrees_and_says_so(bench, kernels):
    done = bench(
        "check",
        "--impl",
        f"{kernels}/honest.py:attention",
        "--impl",
        f"{kernels}/honest.py:with_lse",
        "--depth",
        "quick",
    )
    assert done.returncode == 0, done.stdout
    assert "every result is within the oracle's budget" in done.stdout


def test_a_folder_with_spaces_and_its_neighbours_are_importable(bench, tmp_path):
    folder = tmp_path / "my kernels"
    folder.mkdir()
    (folder / "neighbour.py").write_text("SCALE = 0.5\n")
    (folder / "mine.py").write_text(
        "import neighbour, torch\n"
        "def f(q, k, v, causal=False):\n"
        "    return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=True)\n"
    )
    done = bench("check", "--impl", f"{folder}/mine.py:f", "--case", CASE)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_tutorials_mask_is_called_wrong_in_words_that_help(bench, kernels):
    done = bench("check", "--impl", "tests/mutants/tutorial_triu.py:attention", "--case", CASE)
    assert done.returncode == 1
    assert "the triangle is inverted" in done.stdout
    repeat = next(line for line in done.stdout.splitlines() if "repeat:" in line)
    assert CASE in repeat
    again = bench(*repeat.split("python -m bench ")[1].split())
    assert again.returncode == 1


def test_nothing_checked_is_exit_3_with_the_reasons(bench, kernels):
    done = bench("check", "--impl", f"{kernels}/honest.py:full_only", "--case", CASE)
    assert done.returncode == 3
    assert "does not do causal" in done.stdout


def test_json_on_stdout_is_nothing_but_records(bench, kernels):
    done = bench("check", "--impl", f"{kernels}/honest.py:prints", "--case", CASE, "--json", "-")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(row["implementation"].split(":")[-1], row["status"]) for row in rows] == [("prints", "PASSED")]


def test_list_says_who_can_do_a_case_and_why_not(bench):
    done = bench("list", "--case", "b1-h4-q1-k32-d8-full-paged:16:32-fp32", "--json")
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert rows["masked_fill"]["runs"]
    assert rows["sdpa_flash"]["reason"] == "does not do paged"
    assert "runs on cuda" in rows["sdpa_cudnn"]["reason"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cant_be_written(bench, tmp_path):
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    done = bench("run", "--sweep", "smoke", "--impl", "masked_fill", "--out", tmp_path / "run")
    assert done.returncode == 2
    assert "give another folder with --out" in done.stderr


def test_one_case_is_run_without_a_sweep(bench, tmp_path):
    case = "b1-h2-s16-d8-full-fp32"
    done = bench("run", "--impl", "masked_fill", "--case", case, "--out", str(tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    assert f"{case}  masked_fill  PASSED" in done.stderr


def test_check_says_what_was_tried_and_what_is_declared(bench):
    done = bench("check", "--impl", "softmax_then_mask", "--case", CASE)
    assert "tried: inputs normal, needle, spike" in done.stdout
    assert "causality, ones, linearity" in done.stdout
    assert "note: softmax_then_mask: fails on spike inputs as declared (a large hidden score takes" in done.stdout


def test_properties_can_be_chosen(bench):
    done = bench("check", "--impl", "masked_fill", "--case", CASE, "--properties", "linearity,ones")
    tried = done.stdout.splitlines()[0]
    assert "linearity" in tried
    assert "causality" not in tried


def test_the_names_of_properties_are_those_that_are_tried():
    from attnbench.bench.agreement.families import PROPERTY_NAMES
    from attnbench.bench.agreement.properties import PROPERTIES

    assert tuple(PROPERTIES) == PROPERTY_NAMES
