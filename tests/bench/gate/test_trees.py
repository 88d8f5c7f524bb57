"""A worker with a tree runs that tree's code, and nothing else's, judged by this checkout's harness."""

import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

from attnbench.bench.gate.paired.revisions import checked_out
from attnbench.bench.status import RemoteError
from attnbench.bench.workers.process import Worker, pool
from attnbench.bench.workers.setting import PLAIN as PLAIN_SETTING
from attnbench.bench.workers.setting import Setting
from attnbench.impls.contract import parse_case

ROOT = Path(__file__).parents[3]
CASE = parse_case("b1-h2-s8-d8-full-fp32")
PLAIN = """
import torch
from helpers import scores


def f(q, k, v, *, scale=None):
    return (scores(q, k) * scale).softmax(-1) @ v
"""
RIGHT = "def scores(q, k):\n    return q @ k.mT\n"
WRONG = "def scores(q, k):\n    return k @ q.mT\n"
IMPLEMENTATION = """
from attnbench.impls.contract import Implementation, Inputs, Outputs
from attnbench.impls.mine_parts.words import SUMMARY
{more}

def prepare(inputs: Inputs):
    return lambda: Outputs(inputs.v)


IMPL = Implementation(name="mine", summary=SUMMARY, prepare=prepare)
"""


@pytest.fixture(scope="module")
def workers():
    with pool("cpu", 60) as made:
        made.oracle.expect(CASE, 0, ("normal",))
        yield made


@contextmanager
def sides(workers, repo, implementation, revisions=("a", "b"), base=PLAIN_SETTING):
    """A worker for each revision."""
    with checked_out(repo.path, revisions) as trees:
        made = [Worker(implementation, "cpu", workers.folder, 60, tree.setting(base)) for tree in trees]
        try:
            yield made
        finally:
            for worker in made:
                worker.stop()


def agrees(worker):
    return worker.check(CASE, 0, ("normal",), ()).agreement.ok


def described(worker, *names):
    return worker.describe(names)


@pytest.mark.parametrize("place", ["", "kernels/", "src/"])
def test_each_side_runs_its_own_code_where_both_have_a_module_of_one_name(workers, repo, place):
    """The file stays the same; only what it imports differs: beside it, at the root, or below src."""
    repo.commit("a", {"kernels/attention.py": PLAIN, f"{place}helpers.py": RIGHT})
    repo.commit("b", {f"{place}helpers.py": WRONG})
    with sides(workers, repo, "kernels/attention.py:f") as (a, b):
        assert agrees(a)
        assert not agrees(b)


def test_a_working_tree_runs_its_own_code_in_place(workers, repo):
    repo.commit("a", {"attention.py": PLAIN, "helpers.py": RIGHT})
    repo.write({"helpers.py": WRONG})
    with sides(workers, repo, "attention.py:f", ("a", "WORKTREE")) as (a, b):
        assert agrees(a)
        assert not agrees(b)


def test_each_side_compiles_into_a_cache_of_its_own(workers, repo):
    code = "import triton\n\n\ndef f(q, k, v):\n    raise ValueError(triton.knobs.cache.dir)\n"
    repo.commit("a", {"attention.py": code})
    with sides(workers, repo, "attention.py:f", ("a", "a")) as made:
        said = []
        for worker in made:
            with pytest.raises(RemoteError) as error:
                agrees(worker)
            said.append(str(error.value))
    assert "caches-0/triton" in said[0]
    assert "caches-1/triton" in said[1]


def attnbench(summary, more=""):
    """The files of a checkout whose one implementation says `summary`, with harness modules that must not be used."""
    return {
        "impls/__init__.py": "",
        "impls/contract/__init__.py": "raise RuntimeError('the harness has its own')",
        "impls/mine.py": IMPLEMENTATION.format(more=more),
        "impls/mine_parts/__init__.py": "",
        "impls/mine_parts/words.py": f"SUMMARY = {summary!r}\n",
    }


def test_implementations_come_from_the_tree_alone(workers, repo, tmp_path):
    (tmp_path / "extra").mkdir()
    (tmp_path / "extra" / "other.py").write_text("IMPL = None\n")
    base = Setting(variables=(("ATTNBENCH_IMPLS", str(tmp_path / "extra")),))
    repo.commit("a", attnbench("of A"))
    repo.commit("b", attnbench("of B"))
    with sides(workers, repo, "mine", base=base) as (a, b):
        assert [(one.name, one.summary) for one in described(a)] == [("mine", "of A")]
        assert [(one.name, one.summary) for one in described(b)] == [("mine", "of B")]
        (unknown,) = described(a, "masked_fill")
        assert "unknown implementation 'masked_fill' in a (" in unknown.message
        assert "there are mine" in unknown.message


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("from attnbench.impls.contract import NewerThanThis", "cannot import name 'NewerThanThis'"),
        ("from attnbench.impls.masked_fill import IMPL as OTHER", "No module named 'attnbench.impls.masked_fill'"),
        ("Implementation(name='x', summary='', prepare=None, newer=1)", "unexpected keyword argument 'newer'"),
        ("raise SystemExit(3)", "SystemExit: 3"),
    ],
)
def test_a_tree_that_needs_another_contract_says_which_and_why(workers, repo, more, words):
    repo.commit("a", attnbench("of A", more))
    with sides(workers, repo, "mine", ("a",)) as (worker,):
        (one,) = described(worker)
        assert words in one.unavailable
        assert one.unavailable.startswith("a (")
        assert "with this checkout's contract" in one.unavailable
        assert "mine.py" in one.unavailable
        with pytest.raises(RemoteError, match=r"^a \("):
            agrees(worker)


def test_a_repository_without_implementations_has_none(workers, repo):
    with sides(workers, repo, "masked_fill", ("one",)) as (worker,):
        assert described(worker) == []
        assert "in one (" in described(worker, "masked_fill")[0].message


def test_this_checkout_as_a_tree_has_what_it_has(workers, tmp_path):
    shutil.copytree(ROOT / "impls", tmp_path / "impls")
    worker = Worker("masked_fill", "cpu", workers.folder, 60, Setting(tree=tmp_path, revision="a copy"))
    try:
        assert {one.name for one in described(worker)} == {one.name for one in described(workers.oracle)}
        assert agrees(worker)
    finally:
        worker.stop()


@pytest.mark.parametrize("place", ["mine", "src/mine"])
def test_an_installed_copy_is_never_measured_instead_of_the_trees_own(workers, repo, tmp_path, place):
    """The file prefers an installed copy, as an editable installation or a lazy import does."""
    installed = tmp_path / "site" / "mine"
    installed.mkdir(parents=True)
    (installed / "__init__.py").write_text(RIGHT)
    prefer = f"import sys\nsys.path.insert(0, {str(tmp_path / 'site')!r})\n"
    repo.commit("a", {"attention.py": prefer + PLAIN.replace("helpers", "mine"), f"{place}/__init__.py": RIGHT})
    words = r"not the code of a \(.*mine \(.*site/mine/__init__\.py\) was imported"
    with sides(workers, repo, "attention.py:f", ("a",)) as (worker,), pytest.raises(RemoteError, match=words):
        agrees(worker)


def test_so_is_the_compiled_part_that_was_installed_with_it(workers, repo, tmp_path):
    """One project provides `mine` and `mine_ext`; the tree has only the first."""
    site = tmp_path / "site"
    about = site / "mine_project-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: mine-project\nVersion: 1.0\n")
    (about / "top_level.txt").write_text("mine\nmine_ext\n")
    (site / "mine_ext.py").write_text(RIGHT)
    prefer = f"import sys\nsys.path.append({str(site)!r})\nimport mine\n"
    repo.commit("a", {"attention.py": prefer + PLAIN.replace("helpers", "mine_ext"), "mine/__init__.py": ""})
    words = r"not the code of a \(.*mine_ext \(.*mine_ext\.py\) was imported"
    with sides(workers, repo, "attention.py:f", ("a",)) as (worker,), pytest.raises(RemoteError, match=words):
        agrees(worker)


def test_nothing_of_a_tree_is_loaded_before_a_worker_takes_it(fresh):
    """Else the fork server's copy would stand in every worker."""
    code = (
        "import sys, attnbench.bench.workers.preload; "
        "print({n.split('.')[2] for n in sys.modules if n.startswith('attnbench.impls.')} - {'contract'})"
    )
    assert fresh(code) == "set()"


def test_a_process_takes_one_tree_and_only_before_it_has_implementations(fresh):
    take = (
        "from pathlib import Path\nfrom attnbench.bench.registry.checkout import use_checkout, CheckoutError\n"
        "try: {}\nexcept CheckoutError as e: print(e)"
    )
    twice = take.format("use_checkout(Path('/a'), 'one'); use_checkout(Path('/b'), 'two')")
    late = "import attnbench.impls.sdpa;" + take.format("use_checkout(Path('/a'), 'one')")
    assert fresh(twice) == "can't use the implementations of two: this process has already loaded those of one"
    assert fresh(late) == "can't use the implementations of one: this process has already loaded sdpa"
