"""Recipes from one call of a user's function on CPU tensors: each kernel launch in it is recorded and not run.

Triton's own rules say how an argument specialises its kernel (its type, whether it is 1
or a multiple of 16), so that the recipe compiles to what that call would run on a GPU.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from attnbench.bench.codegen.recipe import Recipe, RecipeError

LAUNCH = frozenset({"grid", "warmup"})
"""Keywords of a launch that are neither the kernel's arguments nor the compiler's options."""


def recipes_of_call(place: str, function: str, targets: Sequence[str]) -> list[Recipe]:
    """One recipe for each launch that ``function()`` makes and each target. Runs in a worker: it imports the file.

    Raises:
        RecipeError: the function is missing, fails, or launches nothing.
    """
    from attnbench.bench.codegen.compiler import load_file

    module = load_file(Path(place))
    called = getattr(module, function, None)
    if not callable(called) or hasattr(called, "cache_key") or hasattr(called, "configs"):
        raise RecipeError(_not_callable(place, function, called))
    launches: list[tuple[Any, tuple[Any, ...], dict[str, Any]]] = []
    with _noted(lambda kernel, args, kwargs: launches.append((kernel, args, kwargs))):
        try:
            called()
        except (TypeError, ValueError, RuntimeError, AttributeError, LookupError) as error:
            raise RecipeError(f"{place}:{function}() raised {type(error).__name__}: {error}") from error
    if not launches:
        raise RecipeError(f"{place}:{function}() launched no Triton kernel")
    group = f"{Path(place).name}:{function}"
    return [_recipe(group, at, target, *launch) for target in targets for at, launch in enumerate(launches)]


def _not_callable(place: str, name: str, found: object) -> str:
    if found is None:
        return f"{place} has no {name!r}"
    if hasattr(found, "cache_key") or hasattr(found, "configs"):
        toml = Path(place).with_suffix(".toml").name
        return f"{place}:{name} is a kernel: say its signature and constants in [{name}] of {toml}"
    return f"{place}:{name} is a {type(found).__name__}, neither a kernel nor a function that launches one"


@contextmanager
def _noted(note: Callable[[Any, tuple[Any, ...], dict[str, Any]], None]) -> Iterator[None]:
    """While open, each launch calls `note` and runs nothing; an autotuner takes its first configuration."""
    from triton.runtime.autotuner import Autotuner
    from triton.runtime.jit import JITFunction

    def run(self: Any, *args: Any, **kwargs: Any) -> None:
        note(self, args, {name: value for name, value in kwargs.items() if name not in LAUNCH})

    def tuned(self: Any, *args: Any, **kwargs: Any) -> Any:
        return self.fn.run(*args, **(self.configs[0].all_kwargs() | kwargs))

    with patch.object(JITFunction, "run", run), patch.object(Autotuner, "run", tuned):
        yield


def _recipe(group: str, at: int, target: str, kernel: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Recipe:
    given = dict(zip(kernel.arg_names, args, strict=False)) | kwargs
    bound = {p.name: given.get(p.name, p.default if p.has_default else None) for p in kernel.params}
    signature, constants, attributes = _specialised(kernel, bound)
    options = {name: value for name, value in kwargs.items() if name not in kernel.arg_names and value is not None}
    return Recipe(
        group=group,
        config=f"{at}-{kernel.fn.__name__}",
        target=target,
        place=_place(kernel),
        kernel=kernel.fn.__name__,
        signature=signature,
        constants=constants,
        attributes=attributes,
        options=options,
        note=", ".join(f"{option}={value}" for option, value in options.items()),
    )


def _place(kernel: Any) -> str:
    """Its module, where that is part of a package, or else its file."""
    module = str(kernel.fn.__module__)
    return module if "." in module else str(kernel.fn.__code__.co_filename)


def _specialised(kernel: Any, bound: dict[str, Any]) -> tuple[dict[str, str], dict[str, Any], dict[str, int]]:
    """Types, constants and divisibilities, as Triton would take them from these arguments."""
    from triton._C.libtriton import native_specialize_impl
    from triton.backends.nvidia.compiler import CUDABackend

    signature: dict[str, str] = {}
    constants: dict[str, Any] = {}
    attributes: dict[str, int] = {}
    for parameter in kernel.params:
        value = bound[parameter.name]
        if parameter.is_constexpr:
            constants[parameter.name] = value
            continue
        how = (parameter.is_const, not parameter.do_not_specialize, not parameter.do_not_specialize_on_alignment)
        kind, key = native_specialize_impl(CUDABackend, value, *how)
        if kind == "constexpr":
            constants[parameter.name] = value
            continue
        signature[parameter.name] = kind
        if isinstance(key, str) and "D" in key:
            attributes[parameter.name] = 16
    return signature, constants, attributes
