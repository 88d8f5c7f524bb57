"""The page's modules, joined into one script by Python."""

import graphlib

import pytest

from attnbench.reports import modules


@pytest.fixture
def joined(monkeypatch):
    """Joins modules given as texts; the first is where they start."""

    def join(**texts):
        monkeypatch.setattr(modules, "source", texts.__getitem__)
        modules.script.cache_clear()
        return modules.script(next(iter(texts)))

    yield join
    modules.script.cache_clear()


def test_a_module_stands_after_those_that_it_imports_and_once(joined):
    text = joined(
        start='import { b } from "./second.js";\nimport {\n  a as c,\n} from "./first.js";\nb(c);\n',
        second='import { a } from "./first.js";\nexport const b = () => a;\n',
        first="export function a() {}\n",
    )
    places = [text.index(f"const ${name} =") for name in ("first", "second", "start")]
    assert places == sorted(places)
    assert text.count("function a()") == 1
    assert "const { a: c, } = $first;" in text
    assert "return { b };" in text
    assert "export" not in text
    assert "import" not in text


@pytest.mark.parametrize(
    "line",
    [
        "export default 3;",
        "export let changing = 3;",
        'export { a } from "./first.js";',
        'import whole from "./first.js";',
        'import * as whole from "./first.js";',
        'import "./first.js";',
        'import { a } from "https://example.org/first.js";',
    ],
)
def test_another_form_is_refused_by_name(joined, line):
    with pytest.raises(ValueError, match="start.js: .* is no import or export that"):
        joined(start=f"{line}\n", first="")


def test_a_circle_is_refused(joined):
    with pytest.raises(graphlib.CycleError):
        joined(start='import { b } from "./b.js";\n', b='import { c } from "./start.js";\n')
