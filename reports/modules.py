"""The page's script: the ES modules of ``static/`` in one, in the order in which they need each other.

A browser refuses to load modules from a file on disk, and a report is one file that opens from there. Whoever makes
a report has Python and no Node, and a bundle in the repository could lag behind its source. So Python joins the
modules: each becomes a function that is called once and gives what it exports. That is sound for the forms that
:data:`IMPORT` and :data:`EXPORT` allow, as long as no exported name is assigned again; other forms are refused.
"""

import re
from functools import cache
from graphlib import TopologicalSorter
from importlib.resources import files

IMPORT = re.compile(r'^import \{(?P<names>[^}]*)\} from "\./(?P<module>[a-z]+)\.js";\n', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:const|function\*?|class) (?P<name>\w+))", re.MULTILINE)
OTHER = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)


@cache
def script(name: str) -> str:
    """The module `name` with all that it imports, as one classic script that leaves no global name.

    Raises ValueError for a form of import or export that isn't known, graphlib.CycleError for modules that import
    each other in a circle.
    """
    needs: dict[str, list[str]] = {}
    _gather(name, needs)
    functions = "\n".join(_function(one) for one in TopologicalSorter(needs).static_order())
    return f'(() => {{\n"use strict";\n{functions}\n}})();'


def source(name: str) -> str:
    """The text of ``static/NAME.js``."""
    return files(__package__).joinpath("static", f"{name}.js").read_text(encoding="utf-8")


def _gather(name: str, needs: dict[str, list[str]]) -> None:
    needs[name] = [found["module"] for found in IMPORT.finditer(source(name))]
    for one in needs[name]:
        if one not in needs:
            _gather(one, needs)


def _function(name: str) -> str:
    """A module as a constant: the object of its exports, which the modules after it take names from."""
    text = source(name)
    exported = ", ".join(found["name"] for found in EXPORT.finditer(text))
    body = EXPORT.sub("", IMPORT.sub(_taken, text))
    if strange := OTHER.search(body):
        raise ValueError(f"static/{name}.js: {strange[0]!r} is no import or export that reports/modules.py knows")
    return f"const ${name} = (() => {{\n{body}return {{ {exported} }};\n}})();"


def _taken(found: re.Match[str]) -> str:
    names = re.sub(r"\s+as\s+", ": ", " ".join(found["names"].split()))
    return f"const {{ {names} }} = ${found['module']};\n"
