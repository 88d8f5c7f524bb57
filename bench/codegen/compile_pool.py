"""Compiles and analyses recipes in parallel processes; a compiler that dies takes one configuration with it."""

import multiprocessing
import os
import re
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

import attnbench
from attnbench.bench.codegen.binary import ToolError
from attnbench.bench.codegen.facts import Facts, analyse, failed
from attnbench.bench.codegen.recipe import Recipe, RecipeError
from attnbench.bench.codegen.sass import ListingError

Result = TypeVar("Result")


def facts_of(
    recipes: Sequence[Recipe], *, jobs: int | None = None, keep: bool = True, root: str | None = None
) -> list[Facts]:
    """The facts of each recipe, in order; a failure is a fact.

    `root` is a folder from which kernels are imported instead of from this checkout.

    Raises:
        RecipeError: a recipe doesn't fit its kernel (a usage error, not a compile failure).
    """
    found: dict[int, Facts] = {}
    left = list(range(len(recipes)))
    with _pool(min(jobs or _cores(), max(1, len(recipes))), root) as pool:
        futures = {pool.submit(examine, recipes[at], keep): at for at in left}
        for future in as_completed(futures):
            if not isinstance(future.exception(), BrokenProcessPool):
                found[futures[future]] = future.result()
    for at in left:
        if at not in found:
            found[at] = _alone(recipes[at], keep, root)
    return [found[at] for at in left]


def in_worker(function: Callable[..., Result], *arguments: object, root: str | None = None) -> Result:
    """What `function` returns in a fresh process, where Triton compiles (``TRITON_INTERPRET`` or not)."""
    with _pool(1, root) as pool:
        return pool.submit(function, *arguments).result()


def examine(recipe: Recipe, keep: bool = True) -> Facts:
    """Compile and analyse, here."""
    from triton.errors import TritonError

    from attnbench.bench.codegen.compiler import compile_recipe

    try:
        return analyse(recipe, compile_recipe(recipe, keep=keep))
    except RecipeError:
        raise
    except (TritonError, RuntimeError, ValueError, TypeError, LookupError, AssertionError, AttributeError) as error:
        known = isinstance(error, (ListingError, ToolError))
        return failed(recipe, _reason(error) if not known else str(error))


def _alone(recipe: Recipe, keep: bool, root: str | None) -> Facts:
    """In a process of its own, after another one broke the pool."""
    with _pool(1, root) as pool:
        future: Future[Facts] = pool.submit(examine, recipe, keep)
        if isinstance(future.exception(), BrokenProcessPool):
            return failed(recipe, "the compiler's process died: a crash in LLVM, MLIR or ptxas")
        return future.result()


def _reason(error: BaseException) -> str:
    """The type, and of a long message the lines that say something: the first, errors, the last.

    An error in a function that a kernel calls is wrapped in one of the same type for each call.
    """
    while isinstance(error.__cause__, type(error)):
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
    telling = [line for line in lines[1:-1] if re.search(r"\b(error|fatal)\b", line, re.IGNORECASE)]
    said = dict.fromkeys((lines[0], *telling[:2], lines[-1]))
    return f"{type(error).__name__}: {' '.join(said)[:400]}"


def _pool(jobs: int, root: str | None) -> ProcessPoolExecutor:
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(jobs, mp_context=context, initializer=_prepare, initargs=(root,))


def _prepare(root: str | None) -> None:
    """Kernels are compiled here, never interpreted; what they print stays off standard output.

    With `root`, ``attnbench.impls`` is its folder ``impls``. Older revisions import that folder as ``impls``.
    """
    os.environ.pop("TRITON_INTERPRET", None)
    if root:
        attnbench.__path__.insert(0, root)
        sys.path.insert(0, root)
    sys.stdout = sys.stderr


def _cores() -> int:
    return len(os.sched_getaffinity(0))
