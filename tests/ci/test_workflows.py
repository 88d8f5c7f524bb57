"""The action and the workflows as files: pinned, least privileged, documented, in step with the command line."""

import configparser
import importlib.util
import re
import shlex
from pathlib import Path

import click
import pytest
import yaml

from attnbench.bench.__main__ import main

ROOT = Path(__file__).parents[2]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
STEPS = ACTION["runs"]["steps"]
FILES = [
    ROOT / "action.yml",
    *sorted((ROOT / ".github/workflows").glob("*.yml")),
    *sorted((ROOT / "docs/workflows").glob("*.yml")),
]
WORKFLOWS = FILES[1:]
PINNED = re.compile(r"uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # \S+")


def named(paths):
    return [pytest.param(path, id=path.name) for path in paths]


def jobs(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values()


def commands_in(path):
    """Every call of ``python -m bench`` in a workflow, as words."""
    for job in jobs(path):
        for step in job["steps"]:
            for line in step.get("run", "").splitlines():
                if line.startswith("python -m bench "):
                    yield shlex.split(line)[3:]


def known_options(words):
    """The options of the command that `words` call, and the words that are options; skips what isn't there yet."""
    if importlib.util.find_spec(f"attnbench.bench.cli.{words[0]}") is None:
        pytest.skip(f"bench {words[0]} is not there yet")
    command, rest = main, list(words)
    while isinstance(command, click.Group):
        name = rest.pop(0)
        command = command.get_command(click.Context(command), name)
        assert command is not None, f"bench {words[0]} has no command {name!r}"
    known = {option for one in command.params for option in (*one.opts, *one.secondary_opts)}
    return known, {word for word in rest if word.startswith("--")}


@pytest.mark.parametrize("path", named(FILES))
def test_every_foreign_action_is_pinned_by_commit_with_its_version_beside_it(path):
    used = [line.strip(" -") for line in path.read_text(encoding="utf-8").splitlines() if "uses:" in line]
    foreign = [line for line in used if not line.startswith("uses: ./")]
    assert foreign
    assert [line for line in foreign if not PINNED.match(line)] == []


def test_one_action_is_pinned_alike_everywhere():
    found = {}
    for path in FILES:
        for name, pin in re.findall(r"uses: (actions/[a-z-]+)\S*@(\S+ # \S+)", path.read_text(encoding="utf-8")):
            found.setdefault(name, set()).add(pin)
    assert {name for name, pins in found.items() if len(pins) > 1} == set()


@pytest.mark.parametrize("path", named(WORKFLOWS))
def test_workflows_ask_for_no_more_than_they_need(path):
    whole = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert whole["permissions"] == {"contents": "read"}
    assert whole["concurrency"]
    for job in jobs(path):
        assert "permissions" not in job
        assert job["timeout-minutes"] <= 180
        checkouts = [step for step in job["steps"] if step.get("uses", "").startswith("actions/checkout@")]
        assert checkouts
        assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_the_actions_steps_only_call_scripts_that_are_checked_and_tested():
    for step in STEPS:
        if "run" in step:
            assert re.fullmatch(r'exec ("\$PYTHON" )?"\$HARNESS/\.github/action/[a-z-]+\.(py|sh)"', step["run"])
            script = re.search(r"\.github/action/[a-z-]+\.\w+", step["run"])[0]
            assert (ROOT / script).stat().st_size
            assert script.endswith(".py") or (ROOT / script).stat().st_mode & 0o111


def test_every_input_reaches_a_step_and_is_documented():
    given = str([(step.get("env"), step.get("with"), step.get("if")) for step in STEPS])
    assert [name for name in ACTION["inputs"] if f"inputs.{name}" not in given] == []
    text = (ROOT / "docs/github-actions.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| `([a-z-]+)` \|", text, re.MULTILINE)
    assert table == list(ACTION["inputs"])


def test_the_gate_step_gives_its_script_the_inputs_that_it_reads():
    script = (ROOT / ".github/action/gate.py").read_text(encoding="utf-8")
    (step,) = [step for step in STEPS if step.get("id") == "gate"]
    read = set(re.findall(r'value\("([a-z-]+)"\)', script))
    for name in ("SINGLE", "REPEATED"):
        read |= set(re.findall(r'"([a-z-]+)"', re.search(rf"^{name} = \((.*)\)", script, re.MULTILINE)[1]))
    given = {name for name in step["env"] if name.startswith("INPUT_")}
    assert given == {f"INPUT_{name.upper().replace('-', '_')}" for name in read}


def test_the_artifact_is_the_whole_folder_of_the_report():
    (step,) = [step for step in STEPS if step.get("uses", "").startswith("actions/upload-artifact@")]
    assert step["with"]["path"] == "${{ steps.gate.outputs.report }}"


def test_compare_knows_every_option_of_the_gate_step():
    script = (ROOT / ".github/action/gate.py").read_text(encoding="utf-8")
    known, _ = known_options(["compare"])
    singles = re.search(r"^SINGLE = \((.*)\)", script, re.MULTILINE)[1]
    used = {f"--{name}" for name in re.findall(r'"([a-z-]+)"', singles)} | {"--impl", "--case"}
    used |= set(re.findall(r'"(--[a-z-]+)"', script))
    assert used - known == set()


@pytest.mark.parametrize("path", named(path for path in WORKFLOWS if list(commands_in(path))))
def test_commands_in_workflows_use_options_that_there_are(path):
    for words in commands_in(path):
        known, used = known_options(words)
        assert used - known == set(), words


@pytest.mark.parametrize("path", named(WORKFLOWS))
def test_the_action_is_called_with_inputs_that_it_has(path):
    calls = [step for job in jobs(path) for step in job["steps"] if "attnbench@" in step.get("uses", "./")]
    for call in calls:
        if "with" in call:
            assert set(call["with"]) <= set(ACTION["inputs"])
            assert "impl" in call["with"]


def test_tox_checks_every_script_and_workflow():
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini")
    lint = tox["testenv:lint"]["commands"]
    scripts = [".ci/run", *(f".github/action/{path.name}" for path in (ROOT / ".github/action").glob("*.sh"))]
    assert [script for script in scripts if script not in lint] == []
    names = [str(path.relative_to(ROOT)) for path in WORKFLOWS]
    assert [name for name in names if name.startswith("docs/") and name not in lint] == []
    assert [name for name in names if name not in tox["testenv:workflows"]["commands"]] == []
