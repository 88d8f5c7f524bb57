"""Compiles one recipe with Triton, for a GPU that isn't here. Runs in a worker process: it imports the kernel."""

import contextlib
import importlib
import importlib.util
import io
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from attnbench.bench.codegen import cache
from attnbench.bench.codegen.binary import Binary, advisories, disassemble, resources
from attnbench.bench.codegen.recipe import DIVISIBILITY, Recipe, RecipeError
from attnbench.bench.codegen.target import KIB, WARP, find
from attnbench.bench.registry.loading import UserFileError, load_module

RESERVED_CAPABILITY = 100
"""From here on ptxas lists the reserved KiB of shared memory as the kernel's own."""


def compile_recipe(recipe: Recipe, *, keep: bool = True) -> Binary:
    """The machine code of `recipe`, from the cache where nothing that it depends on has changed.

    Raises whatever the compiler raises; `RecipeError` where the recipe doesn't fit its kernel.
    """
    import triton
    from triton.backends.nvidia.compiler import get_ptxas_version

    kernel = load_kernel(recipe.place, recipe.kernel)
    _check(recipe, kernel)
    capability = find(recipe.target).capability
    name = cache.key(
        kernel.cache_key,
        kernel.fn.__code__.co_filename,
        sorted(recipe.signature.items()),
        sorted((parameter, repr(value)) for parameter, value in recipe.constants.items()),
        sorted(recipe.attributes.items()),
        sorted(recipe.options.items()),
        recipe.target,
        triton.__version__,
        get_ptxas_version(capability),
    )
    kept = cache.load(name) if keep else None
    if kept is None:
        kept = _compile(recipe, kernel, capability)
        if keep:
            cache.save(name, kept)
    return kept


def load_kernel(place: str, name: str) -> Any:
    """The ``@triton.jit`` function called `name` in a module or a file.

    Raises:
        RecipeError: it is not there, or is not a kernel.
    """
    try:
        module = load_file(Path(place)) if place.endswith(".py") else importlib.import_module(place)
    except ImportError as error:
        raise RecipeError(f"{place}, which has {name}, does not import: {error}") from error
    kernel: Any = getattr(module, name, None)
    while hasattr(kernel, "configs") and hasattr(kernel, "fn"):
        kernel = kernel.fn  # autotuned: the recipe says which configuration
    if kernel is None:
        jitted = [n for n, value in vars(module).items() if hasattr(value, "arg_names") and hasattr(value, "fn")]
        raise RecipeError(f"{place} has no kernel {name!r}; it has {', '.join(jitted) or 'none'}")
    if not hasattr(kernel, "cache_key"):
        hint = " (TRITON_INTERPRET is set)" if os.environ.get("TRITON_INTERPRET") else ""
        raise RecipeError(f"{place}:{name} is a {type(kernel).__name__}, not a @triton.jit function{hint}")
    return kernel


def load_file(path: Path) -> ModuleType:
    """A user's file as a module. Raises RecipeError where it is not there or does not import."""
    try:
        return load_module(path)
    except UserFileError as error:
        raise RecipeError(str(error)) from error


def _check(recipe: Recipe, kernel: Any) -> None:
    """Every parameter has a type or a value, and nothing else is named."""
    parameters = set(kernel.arg_names)
    defaults = {p.name for p in kernel.params if p.has_default}
    given = set(recipe.signature) | set(recipe.constants)
    missing = [name for name in kernel.arg_names if name not in given | defaults]
    unknown = sorted((given | set(recipe.attributes)) - parameters)
    if missing or unknown:
        problems = [f"it says nothing of {', '.join(missing)}"] if missing else []
        problems += [f"there is no parameter {', '.join(unknown)}"] if unknown else []
        raise RecipeError(f"{recipe.id} doesn't fit {recipe.kernel}: {'; '.join(problems)}")


def _compile(recipe: Recipe, kernel: Any, capability: int) -> Binary:
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.backends.nvidia.compiler import get_ptxas
    from triton.compiler import ASTSource

    defaults = {p.name: p.default for p in kernel.params if p.has_default and p.name not in recipe.signature}
    constants = defaults | dict(recipe.constants)
    signature = {n: "constexpr" if n in constants else recipe.signature[n] for n in kernel.arg_names}
    attributes = {
        (kernel.arg_names.index(name),): [[DIVISIBILITY, divisor]] for name, divisor in recipe.attributes.items()
    }
    with _private_triton_cache(), contextlib.redirect_stdout(io.StringIO()) as log:
        compiled = triton.compile(
            ASTSource(kernel, signature, constants, attributes),
            target=GPUTarget("cuda", capability, WARP),
            options=dict(recipe.options),
        )
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        path = Path(file.name)
        path.write_bytes(compiled.asm["cubin"])
        used, listing = resources(path), disassemble(path)
    reserved = KIB if capability >= RESERVED_CAPABILITY and used["shared"] >= KIB else 0
    return Binary(
        listing=listing,
        registers=used["registers"],
        stack_bytes=used["stack"],
        shared_bytes=compiled.metadata.shared + used["shared"] - reserved,
        tensor_columns=getattr(compiled.metadata, "tmem_size", 0) or 0,
        warps=compiled.metadata.num_warps,
        triton=triton.__version__,
        ptxas=get_ptxas(capability).version,
        advisories=advisories(log.getvalue()),
    )


@contextlib.contextmanager
def _private_triton_cache() -> Iterator[None]:
    """Triton's own cache elsewhere meanwhile: a kernel is compiled anew, and the user's cache stays as it is.

    Triton prints what ptxas said.
    """
    from triton import knobs

    with (
        tempfile.TemporaryDirectory(prefix="attnbench-codegen-") as scratch,
        knobs.cache.scope(),
        knobs.nvidia.scope(),
    ):
        knobs.cache.dir = scratch
        knobs.nvidia.dump_ptxas_log = True
        yield
