"""Which code judges and measures, as one hash of each: ``python -m tests.tools.method --write`` records them.

Docstrings, comments and layout don't count; the modules are those that the roots import, within
the rooms that judge or measure.
"""

import ast
import json
import sys
from hashlib import sha256
from pathlib import Path

from attnbench.bench.records.method import method

ROOT = Path(__file__).parents[2]
RECORDED = ROOT / "tests" / "data" / "method.json"
ROOTS = {
    "judging": ("attnbench.bench.agreement.check", "attnbench.bench.agreement.dropout"),
    "measuring": ("attnbench.bench.timing.timer", "attnbench.bench.case_run"),
}
ROOMS = {
    "judging": ("attnbench.bench.agreement.", "attnbench.impls.contract."),
    "measuring": ("attnbench.bench.timing.", "attnbench.bench.case_run"),
}


def hashes():
    """Twelve hex digits for each of the two."""
    return {kind: _hash(ROOTS[kind], ROOMS[kind]) for kind in ROOTS}


def _hash(roots, rooms):
    found, waiting = {}, list(roots)
    while waiting:
        name = waiting.pop()
        if name in found or not name.startswith(rooms) or (path := _file(name)) is None:
            continue
        found[name] = tree = ast.parse(path.read_text())
        waiting += _imported(tree)
    code = "".join(name + ast.dump(_without_docstrings(found[name])) for name in sorted(found))
    return sha256(code.encode()).hexdigest()[:12]


def _file(name):
    place = ROOT.joinpath(*name.split("."))
    return next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None)


def _imported(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def _without_docstrings(tree):
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [
                line for line in body if not (isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant))
            ]
    return tree


if __name__ == "__main__":
    now = {"method": method(), **hashes()}
    if "--write" in sys.argv:
        RECORDED.write_text(json.dumps(now, indent=2) + "\n")
    print(json.dumps(now, indent=2))
