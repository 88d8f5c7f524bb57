"""Code that judges or measures doesn't change without someone saying whether results stay comparable."""

import json

import pytest

from attnbench.bench.records.method import method
from tests.tools import method as recorded


def test_changed_code_was_looked_at():
    kept = json.loads(recorded.RECORDED.read_text())
    assert {"method": method(), **recorded.hashes()} == kept, (
        "code that judges or measures has changed. If times, errors or budgets of the same kernel can come out "
        "differently, raise the version in bench/records/method.py and add a line to its history. "
        "Then record the code as it is now: python -m tests.tools.method --write"
    )


@pytest.fixture
def tree(monkeypatch, tmp_path):
    """A room of two modules, one of which imports the other."""
    room = tmp_path / "attnbench" / "bench" / "agreement"
    room.mkdir(parents=True)
    (room / "check.py").write_text('"""Words."""\nfrom attnbench.bench.agreement.budget import FACTOR\n')
    (room / "budget.py").write_text('FACTOR = 2  # why\n"""Words on it."""\n')
    monkeypatch.setattr(recorded, "ROOT", tmp_path)
    return room


def test_words_change_nothing_and_imported_code_does(tree):
    before = recorded.hashes()["judging"]
    (tree / "budget.py").write_text('FACTOR = 2\n"""Other words."""\n')
    assert recorded.hashes()["judging"] == before
    (tree / "budget.py").write_text("FACTOR = 3\n")
    assert recorded.hashes()["judging"] != before
