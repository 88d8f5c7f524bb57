"""Which implementations need Triton's interpreter on a CPU, told without importing them. No torch."""

import ast
from collections.abc import Iterator
from pathlib import Path

from attnbench.bench.registry.loading import is_user_file

INTERPRETED = {"TRITON_INTERPRET": "1"}
FLASH_ATTN = INTERPRETED | {"FLASH_ATTENTION_TRITON_AMD_ENABLE": "TRUE"}
BUILT_IN = {"triton_fused": INTERPRETED, "flash_attn2": FLASH_ATTN, "flash_attn2_qkvpacked": FLASH_ATTN}


def interpreter_variables(name: str, device: str, tree: Path | None = None) -> dict[str, str]:
    """What stands in the environment of the worker of `name` on `device`; nothing for what needs no interpreter.

    `tree` is the checkout that a relative file is looked for in.
    """
    if device != "cpu":
        return {}
    if not is_user_file(name):
        return BUILT_IN.get(name, {})
    path = (tree or Path()) / name.rpartition(":")[0]
    return INTERPRETED if imports_triton(path) else {}


def imports_triton(path: Path) -> bool:
    """Whether a file imports Triton, or a module beside it does that it imports; nothing is run."""
    todo, seen = [path], set()
    while todo:
        file = todo.pop()
        if file in seen or not file.is_file():
            continue
        seen.add(file)
        for module in _imported(file):
            if module.partition(".")[0] == "triton":
                return True
            beside = file.parent.joinpath(*module.split("."))
            todo += [beside.with_suffix(".py"), beside / "__init__.py"]
    return False


def _imported(file: Path) -> Iterator[str]:
    """Modules that a file names in its imports, wherever in it they stand; none where it is no Python."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):  # its import will say so
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            inner = f"{node.module}." if node.module else ""
            yield from ([node.module] if node.module else [])
            yield from (f"{inner}{alias.name}" for alias in node.names)
