"""What the docs say of the tree is true: files that they name exist, legends and lists are complete."""

import ast
import re
import shlex
from pathlib import Path

import click
import msgspec
import pytest

from attnbench.bench.__main__ import main
from attnbench.bench.sweeps import sweep_names
from attnbench.impls.contract import parse_case
from attnbench.impls.contract.case import ID_LEGEND

ROOT = Path(__file__).parents[1]
GLOSSARY = (ROOT / "docs/glossary.md").read_text()
LINK = re.compile(r"\]\(([^)#:]+)(?:#[\w-]+)?\)")


def rows(text: str) -> list[list[str]]:
    """The cells of every row of the tables in `text`, heads and rules apart."""
    lines = [line.strip().strip("|").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line] for line in lines]


def test_every_term_of_the_glossary_has_a_file_that_exists():
    terms = rows(GLOSSARY)
    assert len(terms) >= 25
    for term, meaning, file in terms[1:]:
        assert meaning, term
        assert (ROOT / file.strip("`")).is_file(), f"{term}: {file}"


def test_the_glossary_is_sorted():
    terms = [row[0].lower() for row in rows(GLOSSARY)[1:]]
    assert terms == sorted(terms)


@pytest.mark.parametrize(
    "page", [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
)
def test_links_between_pages_lead_to_files(page):
    for target in LINK.findall(page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_files_that_contributing_names_exist():
    for name in re.findall(r"`([\w./-]+\.(?:py|toml|md|js|j2))`", (ROOT / "CONTRIBUTING.md").read_text()):
        assert (ROOT / name).is_file(), name


def test_the_legend_of_case_ids_explains_every_field():
    case_id = "-".join(part for part in ID_LEGEND if part != "s512")
    case = parse_case(case_id)
    assert case.id == case_id
    declared = {"conventions"}  # by an implementation, no part of an id
    fields = set(case.__struct_fields__) - declared
    assert msgspec.to_builtins(case).keys() == fields, "a field left at its default"


def test_the_page_on_sweeps_has_the_legend_and_every_sweep():
    text = (ROOT / "docs/sweeps.md").read_text()
    for part, meaning in ID_LEGEND.items():
        assert f"| `{part}` | {meaning} |" in text
    for name in sweep_names():
        assert f"`{name}`" in text


CODE = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^(?:\$ |TRITON_INTERPRET=1 )?(?:python -m bench|attnbench) (.*)$", re.MULTILINE)


def commands():
    """Every command line of this project in a console block of README and docs, without its comment."""
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        for block in CODE.findall(page.read_text()):
            yield from (pytest.param(line, id=f"{page.name}: {line}") for line in COMMAND.findall(block))


@pytest.mark.parametrize("line", list(commands()))
def test_every_command_of_the_docs_has_a_name_and_options_that_exist(line):
    name, *words = shlex.split(line, comments=True)
    words = [word for word in words if word not in ("…", ">", "2>/dev/null") and "docs/" not in word]
    group, known = main, name
    while isinstance(group, click.Group):
        command = group.get_command(click.Context(group), known)
        assert command is not None, known
        if isinstance(command, click.Group):
            known, words = words[0], words[1:]
        group = command
    command.make_context(known, words)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("bench/records/schema.py", "Status"),
        ("bench/records/verdict.py", "Verdict"),
        ("bench/records/verdict.py", "About"),
    ],
)
def test_each_member_of_a_closed_set_has_a_description(file, name):
    (found,) = (
        node
        for node in ast.parse((ROOT / file).read_text()).body
        if isinstance(node, ast.ClassDef) and node.name == name
    )
    for place, node in enumerate(found.body):
        if isinstance(node, ast.Assign):
            after = found.body[place + 1] if place + 1 < len(found.body) else None
            described = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            assert described, ast.unparse(node)
