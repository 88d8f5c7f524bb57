"""A user's own kernel, ``FILE.py:FUNCTION``, as an implementation.

The function is plain: ``f(q, k, v, *, causal=False, scale=None, ...) -> out`` or
``(out, lse)``, so that nobody imports this project to test a kernel. Keyword
parameters that it declares are the features that it supports; a case that needs
another one is refused. What its signature can't say, attributes do: see `declarations`.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from attnbench.bench.registry.checkout import active_checkout
from attnbench.bench.registry.declarations import declaration_of
from attnbench.bench.registry.loading import UserFileError, load_module
from attnbench.bench.registry.triton_files import imports_triton
from attnbench.impls.contract import Call, Causal, Implementation, Inputs, Outputs, Window
from attnbench.impls.contract.tensors import visible

ALWAYS = frozenset({"gqa", "q_len != kv_len", "v_head_dim", "strided", "backward"})
"""What positional q, k and v alone express; a kernel that can't do it is wrong or raises, not unsupported."""

INTERPRETED = {"cpu": "it ran in Triton's interpreter, whose time says nothing of the kernel"}


@dataclass(frozen=True)
class Parameter:
    """What a keyword parameter stands for, and the value it is given."""

    features: frozenset[str]
    value: Callable[[Inputs], Any]


def _parameter(value: Callable[[Inputs], Any], *features: str) -> Parameter:
    return Parameter(frozenset(features), value)


def _lengths(inputs: Inputs, *layouts: str) -> Any:
    return inputs.kv_lengths if inputs.case.layout.feature in layouts else None


def _mask(inputs: Inputs) -> Any:
    """What each query sees, bool ``[B or 1, 1, M, N]``; None where nothing but lengths hides a key."""
    if not inputs.case.features & PARAMETERS["mask"].features:
        return None
    inputs.derived["mask"] = visible(inputs.case, inputs.q.device)
    return inputs.derived["mask"]


def _window(inputs: Inputs) -> tuple[int, int]:
    """flash-attn's ``window_size``: keys before and after the position, -1 for no bound."""
    match inputs.case.mask:
        case Window(left, right):
            return (-1 if left is None else left, -1 if right is None else right)
        case Causal():
            return (-1, 0)
    return (-1, -1)


PARAMETERS: dict[str, Parameter] = {
    "causal": _parameter(lambda inputs: isinstance(inputs.case.mask, Causal), "causal"),
    "is_causal": _parameter(lambda inputs: isinstance(inputs.case.mask, Causal), "causal"),
    "scale": _parameter(lambda inputs: inputs.case.score_scale, "scale"),
    "softmax_scale": _parameter(lambda inputs: inputs.case.score_scale, "scale"),
    "window": _parameter(_window, "window", "causal"),
    "mask": _parameter(_mask, "causal", "window", "prefix", "blocks", "padded", "packed"),
    "softcap": _parameter(lambda inputs: inputs.case.softcap, "softcap"),
    "bias": _parameter(lambda inputs: inputs.bias, "additive"),
    "alibi_slopes": _parameter(lambda inputs: inputs.alibi_slopes, "alibi"),
    "sinks": _parameter(lambda inputs: inputs.sinks, "sinks"),
    "key_lengths": _parameter(lambda inputs: _lengths(inputs, "padded"), "padded"),
    "cache_lengths": _parameter(lambda inputs: _lengths(inputs, "cache", "paged"), "cache"),
    "block_table": _parameter(lambda inputs: inputs.block_table, "paged"),
    "cu_seqlens_q": _parameter(lambda inputs: inputs.cu_seqlens_q, "packed"),
    "cu_seqlens_k": _parameter(lambda inputs: inputs.cu_seqlens_k),
}
"""Keyword parameters that are understood: the features that each stands for, and what it is given."""


def load_user_file(name: str) -> Implementation:
    """The function that `name` names, as an implementation called `name`; in a tree, relative to its root."""
    path_text, _, function_name = name.rpartition(":") if ".py:" in name else (name, "", "")
    tree = active_checkout()
    path = tree.path / path_text if tree else Path(path_text)
    if not function_name:
        raise UserFileError(f"{name}: name the function as well, as in {name}:attention")
    if not path.is_file():
        raise UserFileError(f"{name}: there is no file {path}")
    module = load_module(path, tree.importable if tree else ())
    function = getattr(module, function_name, None)
    if function is None:
        offered = [n for n, value in vars(module).items() if inspect.isfunction(value) and not n.startswith("_")]
        raise UserFileError(
            f"{name}: {path} has no {function_name!r}; it has {', '.join(offered) or 'no functions'}"
        )
    if not callable(function):
        raise UserFileError(f"{name}: {function_name} is of type {type(function).__name__}, not a function")
    return replace(wrap(name, function), never_timed=INTERPRETED if imports_triton(path) else {})


def wrap(name: str, function: Callable[..., Any]) -> Implementation:
    """`function` as an implementation; its keyword parameters and attributes say what it supports."""
    keywords = _keywords(function)
    assumed = ALWAYS.union(*(PARAMETERS[parameter].features for parameter in keywords))
    declared = declaration_of(function, name, assumed)

    def prepare(inputs: Inputs) -> Call:
        given = {parameter: PARAMETERS[parameter].value(inputs) for parameter in keywords}
        if "window" in given and declared.conventions.window == "counts-query":
            left, right = given["window"]
            given["window"] = (left if left < 0 else left + 1, right)

        def call() -> Outputs:
            result = function(inputs.q, inputs.k, inputs.v, **given)
            return Outputs(*result) if isinstance(result, tuple) else Outputs(result)

        return call

    return Implementation(
        name=name,
        summary=(inspect.getdoc(function) or "a user's own function").splitlines()[0],
        prepare=prepare,
        features=declared.features,
        devices=declared.devices,
        dtypes=declared.dtypes,
        refusals=declared.refusals,
        conventions=declared.conventions,
    )


def _keywords(function: Callable[..., Any]) -> tuple[str, ...]:
    """Names of the parameters after q, k and v that are understood; the others keep their defaults."""
    parameters = list(inspect.signature(function).parameters.values())
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    first = {p.name for p in positional[:3]}
    required = [
        p.name for p in parameters if p.name not in first and p.default is p.empty and "VAR" not in p.kind.name
    ]
    unknown = [parameter for parameter in required if parameter not in PARAMETERS]
    if len(positional) < 3 or unknown:
        what = f"needs {', '.join(unknown)}, which nobody can give it" if unknown else "does not take q, k and v"
        raise UserFileError(
            f"{getattr(function, '__name__', function)} {what}; understood are {', '.join(PARAMETERS)}"
        )
    return tuple(p.name for p in parameters if p.name not in first and p.name in PARAMETERS)
