"""The built package, installed into an environment of its own, used from a folder that has packages of the same names."""

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
KERNEL = """
import torch

import bench  # the user's own
from bench.helpers import scores


def attention(q, k, v, *, causal=False, scale=None):
    groups = q.shape[1] // k.shape[1]
    k, v = (x.repeat_interleave(groups, 1) for x in (k, v))
    s = scores(q, k, scale)
    if causal:
        s = s.masked_fill(torch.ones(s.shape[-2:], dtype=bool).triu(1 + s.shape[-1] - s.shape[-2]), -torch.inf)
    return torch.nan_to_num(torch.softmax(s, -1)) @ v


def twice(q, k, v, *, causal=False, scale=None):
    return 2 * attention(q, k, v, causal=causal, scale=scale)
"""
HELPERS = """
def scores(q, k, scale):
    return (q.float() @ k.float().mT * (q.shape[-1] ** -0.5 if scale is None else scale)).to(q.dtype)
"""

pytestmark = pytest.mark.slow


def run(*words, cwd, **variables):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        list(map(str, words)),
        cwd=cwd,
        env=kept | variables,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder of the sdist, and of the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    done = run(sys.executable, "-m", "build", "--outdir", folder, ROOT, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def environment(built, tmp_path_factory):
    """An environment with the wheel alone; the dependencies are those of this one, which torch's size asks for."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    assert run(sys.executable, "-m", "venv", folder, cwd=ROOT).returncode == 0
    python = folder / "bin" / "python"
    (wheel,) = built.glob("*.whl")
    done = run(python, "-m", "pip", "install", "--no-deps", "--no-index", wheel, cwd=built)
    assert done.returncode == 0, done.stderr
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A user's project with packages named as the folders of this one."""
    folder = tmp_path_factory.mktemp("a project")
    for name in ("bench", "impls", "reports", "tests"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(f"OWNER = 'the user of {name}'\n")
    (folder / "bench" / "helpers.py").write_text(HELPERS)
    (folder / "conftest.py").write_text("raise RuntimeError('nobody asked for it')\n")
    (folder / "mine.py").write_text(KERNEL)
    return folder


def test_the_wheel_has_one_name_and_no_tests(built):
    (wheel,) = built.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"attnbench"}
    assert not [name for name in names if "/tests/" in name]
    assert wheel.stat().st_size < 2_000_000
    assert {"attnbench/reports/static/base.css", "attnbench/bench/sweeps/quick.toml"} <= set(names)


COMMANDS = [["attnbench"], ["python", "-m", "attnbench"]]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_failure_is_repeated_by_the_command_that_found_it(environment, project, command):
    words = ("--impl", "mine.py:twice", "--case", "b1-h4-kv2-s16-d8-causal-fp32", "--properties", "none")
    done = run(environment / "bin" / command[0], *command[1:], "check", *words, cwd=project)
    assert done.returncode == 1, done.stderr
    assert f"repeat: {' '.join(command)} check --impl mine.py:twice --case" in done.stdout


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_project_with_packages_of_the_same_names_is_served(environment, project, command):
    command = [environment / "bin" / command[0], *command[1:]]
    words = ("--case", "b1-h4-kv2-s16-d8-causal-fp32", "--json", "-")
    done = run(*command, "check", "--impl", "mine.py:attention", *words, cwd=project)
    assert done.returncode == 0, done.stdout + done.stderr
    (record,) = map(json.loads, done.stdout.splitlines())
    assert (record["implementation"], record["status"]) == ("mine.py:attention", "PASSED")


def test_no_class_is_loaded_twice_where_the_root_is_importable_too(environment):
    """From the checkout `bench` is importable as well; what is run is one set of modules."""
    code = (
        "import runpy, sys; sys.argv = ['bench', '--help']\n"
        "try: runpy.run_module('bench', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "print(sorted(n for n in sys.modules if n.split('.')[0] in ('bench', 'impls', 'reports')))"
    )
    done = run(environment / "bin" / "python", "-c", code, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "['bench']", done.stderr


def test_a_run_of_an_installed_copy_has_no_commit_of_the_users_repository(environment, project):
    run("git", "init", "-q", ".", cwd=project)
    code = "from attnbench.bench.records.environment import revision; print(revision())"
    assert run(environment / "bin" / "python", "-c", code, cwd=project).stdout == "('', False)\n"


def test_a_run_from_the_users_folder_leaves_a_report(environment, project, tmp_path):
    words = ("run", "--case", "b1-h4-kv2-s16-d8-causal-fp32", "--impl", "mine.py:attention", "--impl", "sdpa_flash")
    done = run(environment / "bin" / "attnbench", *words, "--budget", "0.01", "--out", tmp_path / "r", cwd=project)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "r" / "report.html").stat().st_size > 100_000
