"""The list of files: nothing is imported early, what can't be is a reason, a folder may be added."""

import json
import re
import sys
from pathlib import Path

import pytest

from attnbench.bench.registry import catalogue as registry
from attnbench.impls.contract import Requirement

ROOT = Path(__file__).parents[2]
BACKENDS = (
    "flash_attn",
    "flash_attn_interface",
    "flashinfer",
    "sageattention",
    "transformers",
    "triton",
    "xformers",
)


def package(folder, name, code, version="1.0"):
    """An installed package called `name`, whose import runs `code`."""
    (folder / f"{name}.py").write_text(code)
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Make a package and ask what is wrong with it."""

    def ask(name, code, **fields):
        package(tmp_path, name, code)
        return registry.unavailable([Requirement(name, install=f"pip install {name}", **fields)])

    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return ask


def test_listing_imports_no_backend(fresh):
    blocked = f"import sys; sys.modules.update(dict.fromkeys({BACKENDS}, None)); "
    names = fresh(blocked + "from attnbench.bench.registry.catalogue import catalogue; print(*catalogue())").split()
    assert {"flex", "flash_attn2", "flash_attn4", "flashinfer_decode", "hf_eager", "sage", "xformers"} <= set(names)


def test_a_backend_is_not_loaded_by_asking_what_it_supports(fresh):
    said = fresh(
        "import sys; from attnbench.bench.registry.catalogue import catalogue; "
        "from attnbench.impls.contract import parse_case; "
        "case = parse_case('b1-h2-s16-d64-causal-fp16'); "
        "[one.supports(case, device) for one in catalogue().values() for device in ('cpu', 'cuda')]; "
        f"print(sorted(set({BACKENDS}) & set(sys.modules)))"
    )
    assert said == "[]"


def test_the_list_shows_each_with_version_devices_features_and_the_command_that_installs_it(bench):
    done = bench("list", "--json")
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert done.returncode == 0, done.stderr
    assert rows["flash_attn3"]["devices"] == ["cuda"]
    assert "paged" in rows["flash_attn3"]["features"]
    assert rows["flash_attn3"]["reason"].startswith(
        "runs on cuda, not on cpu; flash_attn_3 is not installed (install"
    )
    assert rows["flex"]["runs"]
    assert rows["flex"]["version"].startswith("torch 2")


def test_a_package_that_is_fine_is_fine(installed):
    assert installed("good_backend", "", versions=">=1") is None


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("broken_backend", "import no_such_library", "ModuleNotFoundError: No module named 'no_such_library'"),
        ("crashing_backend", "import os; os.abort()", "was killed by signal 6"),
        ("leaving_backend", "raise SystemExit(3)", "does not import"),
    ],
)
def test_an_import_that_fails_or_crashes_is_a_reason(installed, name, code, words):
    reason = installed(name, code)
    assert words in reason
    assert f"(install it: pip install {name})" in reason


def test_an_import_that_hangs_is_a_reason(installed, monkeypatch):
    monkeypatch.setattr(registry, "IMPORT_TIMEOUT_S", 0.5)
    assert "does not import within 0.5 s" in installed("hanging_backend", "import time; time.sleep(60)")


def test_another_version_is_a_reason(installed):
    assert "old_backend 1.0 is installed, >=2 is needed" in installed("old_backend", "", versions=">=2")


def test_a_folder_of_the_same_name_is_not_the_package(tmp_path, monkeypatch):
    (tmp_path / "half_backend").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "is not installed" in registry.unavailable([Requirement("half_backend", ">=1")])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An extra folder of implementations, known to every command that is run."""
    monkeypatch.setenv(registry.EXTRA_FOLDERS, str(tmp_path))
    return tmp_path


def worked_example():
    text = (ROOT / "docs" / "add-an-implementation.md").read_text()
    return re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]


def test_the_worked_example_is_one_short_file_that_agrees(bench, folder):
    assert len(worked_example().splitlines()) < 40
    (folder / "by_blocks.py").write_text(worked_example())
    done = bench("check", "--impl", "by_blocks", "--sweep", "smoke")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 agree, 0 disagree, 0 broke, 1 can't be done" in done.stdout


def test_a_wrong_implementation_in_the_folder_is_found(bench, folder):
    (folder / "by_blocks.py").write_text(
        worked_example().replace("repeat_heads(x, case.groups)", "x.repeat(1, case.groups, 1, 1)")
    )
    done = bench("check", "--impl", "by_blocks", "--case", "b1-h4-kv2-s16-d8-causal-fp32")
    assert done.returncode == 1, done.stdout


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import no_such_package\n", "No module named 'no_such_package'"),
        ("def broken(:\n", "SyntaxError"),
        ("VALUE = 1\n", "exports neither IMPL nor IMPLS"),
    ],
)
def test_a_file_that_does_not_import_is_a_reason_in_the_list(bench, folder, code, words):
    (folder / "half_done.py").write_text(code)
    done = bench("list", "--impl", "half_done", "--json")
    (row,) = json.loads(done.stdout)
    assert not row["runs"]
    assert words in row["reason"]
    assert "Traceback" not in done.stderr


def test_a_name_that_another_file_has_is_told(folder):
    (folder / "mine.py").write_text(worked_example().replace('"by_blocks"', '"masked_fill"'))
    with pytest.raises(ValueError, match=r"mine\.py exports 'masked_fill', which another file has already"):
        registry.catalogue.__wrapped__()


def test_python_is_the_one_that_runs_here(installed):
    """The probe uses the same interpreter, so that it sees the same packages."""
    assert installed("same_backend", f"import sys; assert sys.executable == {sys.executable!r}") is None
