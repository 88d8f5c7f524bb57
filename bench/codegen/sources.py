"""Which recipes there are: the project's own kernels, or a user's with a small TOML."""

import importlib
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attnbench.bench.codegen.compile_pool import in_worker
from attnbench.bench.codegen.recipe import Recipe, RecipeError
from attnbench.bench.codegen.recorded_call import recipes_of_call

PROJECT = {"triton_fused": "attnbench.impls.triton_kernels.build"}
"""Our implementations with Triton kernels, and the module whose ``builds(target, …)`` lists what they ship."""
OWN = frozenset({"signature", "divisible", "constants", "options", "variants"})
VARIANT = frozenset({"name", "targets", "constants", "options", "signature"})


def project_recipes(
    name: str,
    targets: Sequence[str],
    head_dims: Sequence[int],
    dtypes: Sequence[str],
    causal: Sequence[bool],
    root: str | None = None,
) -> list[Recipe]:
    """The configurations that `name` ships for these targets; read in a fresh process, from `root` if given."""
    arguments = (name, tuple(targets), tuple(head_dims), tuple(dtypes), tuple(causal))
    return in_worker(_project_recipes, *arguments, root=root)


def _project_recipes(
    name: str,
    targets: tuple[str, ...],
    head_dims: tuple[int, ...],
    dtypes: tuple[str, ...],
    causal: tuple[bool, ...],
) -> list[Recipe]:
    module = importlib.import_module(PROJECT[name])
    builds = [(target, build) for target in targets for build in module.builds(target, head_dims, dtypes, causal)]
    recipes = [from_build(name, target, build) for target, build in builds]
    twice = {recipe.id for recipe in recipes if sum(other.id == recipe.id for other in recipes) > 1}
    if twice:
        raise RecipeError(f"{name} lists more than one configuration as {', '.join(sorted(twice))}")
    return recipes


def from_build(group: str, target: str, build: Any) -> Recipe:
    """A recipe of a ``Build`` as `impls.triton_kernels.build` describes it."""
    mask = "causal" if build.causal else "full"
    tiles = build.name.rpartition("-w")[0].rpartition("-")[2]  # from the name, which every revision writes alike
    return Recipe(
        group=group,
        config=f"{build.phase}-d{build.head_dim}-{mask}-{build.dtype}",
        target=target,
        place=build.kernel.fn.__module__,
        kernel=build.kernel.fn.__name__,
        signature={name: kind for name, kind in build.signature.items() if kind != "constexpr"},
        constants=dict(build.constants),
        attributes=dict(build.attributes),
        options={"num_warps": build.num_warps, "num_stages": build.num_stages},
        note=f"{tiles}, {build.num_warps} warps, {build.num_stages} stages",
    )


def user_recipes(name: str, targets: Sequence[str], settings: Path | None = None) -> list[Recipe]:
    """Recipes of ``FILE.py:NAME``: a kernel as its TOML says, or the launches of a function without parameters.

    The TOML is `settings`, or the file of the same name beside it. Without a table for
    the name, it is taken for a function, called once, and what it launches is noted.

    Raises:
        RecipeError: a file is missing, or the TOML doesn't say what it must.
    """
    path_text, _, kernel = name.rpartition(":")
    path = Path(path_text)
    if not path_text or not path.is_file():
        raise RecipeError(f"{name}: say FILE.py:KERNEL; there is no file {path_text or name}")
    if settings is not None and not settings.is_file():
        raise RecipeError(f"{name}: there is no file {settings}")
    settings = settings or path.with_suffix(".toml")
    if not settings.is_file() or kernel not in _tables(settings):
        return in_worker(recipes_of_call, str(path.resolve()), kernel, tuple(targets))
    table = _tables(settings)[kernel]
    _refuse_unknown(settings, f"[{kernel}]", table, OWN)
    if "signature" not in table:
        raise RecipeError(f"{settings}: [{kernel}] needs a signature, as in signature = {{Q = '*bf16', n = 'i32'}}")
    variants = table.get("variants", [{"name": kernel}])
    for variant in variants:
        _refuse_unknown(settings, f"[[{kernel}.variants]]", variant, VARIANT)
    return [
        _user_recipe(path, kernel, target, table, variant)
        for target in targets
        for variant in variants
        if target in variant.get("targets", targets)
    ]


def _tables(settings: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(settings.read_text())
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{settings}: {error}") from error


def _user_recipe(
    path: Path, kernel: str, target: str, table: Mapping[str, Any], variant: Mapping[str, Any]
) -> Recipe:
    options = {**table.get("options", {}), **variant.get("options", {})}
    return Recipe(
        group=f"{path.name}:{kernel}",
        config=str(variant.get("name", kernel)),
        target=target,
        place=str(path.resolve()),
        kernel=kernel,
        signature={**table["signature"], **variant.get("signature", {})},
        constants={**table.get("constants", {}), **variant.get("constants", {})},
        attributes=dict.fromkeys(table.get("divisible", ()), 16),
        options=options,
        note=", ".join(f"{option}={value}" for option, value in options.items()),
    )


def _refuse_unknown(settings: Path, where: str, table: Mapping[str, Any], known: frozenset[str]) -> None:
    unknown = sorted(set(table) - known)
    if unknown:
        raise RecipeError(f"{settings}: {where} has {', '.join(unknown)}; known are {', '.join(sorted(known))}")
