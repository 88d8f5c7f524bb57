"""A user's own kernel, ``FILE.py:FUNCTION``, as an implementation.

The function is plain: ``f(q, k, v, *, causal=False, scale=None, ...) -> out`` or
``(out, lse)``, so that nobody imports this project to test a kernel. Keyword
parameters that it declares are the features that it supports; a case that needs
another one is refused.
"""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attnbench.bench.registry.checkout import active_checkout
from attnbench.bench.registry.loading import UserFileError, load_module
from attnbench.impls.contract import ANY_DEVICE, Call, Case, Causal, Full, Implementation, Inputs, Outputs, Window
from attnbench.impls.contract.tensors import visible

ALWAYS = frozenset({"gqa", "q_len != kv_len", "v_head_dim", "strided", "backward"})
"""What positional q, k and v alone express; a kernel that can't do it is wrong or raises, not unsupported."""

PARAMETERS: dict[str, frozenset[str]] = {
    "causal": frozenset({"causal"}),
    "is_causal": frozenset({"causal"}),
    "scale": frozenset({"scale"}),
    "softmax_scale": frozenset({"scale"}),
    "window": frozenset({"window", "causal"}),
    "mask": frozenset({"causal", "window", "prefix", "blocks", "padded", "packed"}),
    "softcap": frozenset({"softcap"}),
    "bias": frozenset({"additive"}),
    "alibi_slopes": frozenset({"alibi"}),
    "sinks": frozenset({"sinks"}),
    "key_lengths": frozenset({"padded"}),
    "cache_lengths": frozenset({"cache"}),
    "block_table": frozenset({"paged"}),
    "cu_seqlens_q": frozenset({"packed"}),
    "cu_seqlens_k": frozenset(),
}
"""Keyword parameters that are understood, and the features that each stands for."""


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
    return wrap(name, function)


def wrap(name: str, function: Callable[..., Any]) -> Implementation:
    """`function` as an implementation; its keyword parameters say what it supports."""
    declared = _keywords(function)
    features = ALWAYS.union(*(PARAMETERS[parameter] for parameter in declared if parameter in PARAMETERS))

    def prepare(inputs: Inputs) -> Call:
        keywords = _arguments(inputs, declared)

        def call() -> Outputs:
            result = function(inputs.q, inputs.k, inputs.v, **keywords)
            return Outputs(*result) if isinstance(result, tuple) else Outputs(result)

        return call

    return Implementation(
        name=name,
        summary=(inspect.getdoc(function) or "a user's own function").splitlines()[0],
        prepare=prepare,
        features=features,
        devices=ANY_DEVICE,  # its author knows where it runs
    )


def _keywords(function: Callable[..., Any]) -> frozenset[str]:
    """Names of the parameters after q, k and v."""
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
    return frozenset(p.name for p in parameters if p.name not in first)


def _arguments(inputs: Inputs, declared: frozenset[str]) -> dict[str, Any]:
    """The keyword arguments that `inputs` gives to a function that declares these parameters."""
    case = inputs.case
    values = {
        "causal": isinstance(case.mask, Causal),
        "is_causal": isinstance(case.mask, Causal),
        "scale": case.score_scale,
        "softmax_scale": case.score_scale,
        "window": _window(case),
        "softcap": case.softcap,
        "bias": inputs.bias,
        "alibi_slopes": inputs.alibi_slopes,
        "sinks": inputs.sinks,
        "key_lengths": inputs.kv_lengths if case.layout.feature == "padded" else None,
        "cache_lengths": inputs.kv_lengths if case.layout.feature in ("cache", "paged") else None,
        "block_table": inputs.block_table,
        "cu_seqlens_q": inputs.cu_seqlens_q,
        "cu_seqlens_k": inputs.cu_seqlens_k,
    }
    if "mask" in declared:
        plain = not case.features & PARAMETERS["mask"]
        values["mask"] = None if plain else visible(case, inputs.q.device)
    return {name: value for name, value in values.items() if name in declared}


def _window(case: Case) -> tuple[int, int]:
    """flash-attn's ``window_size``: keys before and after the position, -1 for no bound."""
    match case.mask:
        case Window(left, right):
            return (-1 if left is None else left, -1 if right is None else right)
        case Causal():
            return (-1, 0)
        case Full():
            return (-1, -1)
    return (-1, -1)
