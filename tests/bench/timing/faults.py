"""Faults planted in the code under test: a rule is taken out of a module's source while the context is open."""

import importlib
import inspect
from contextlib import contextmanager
from types import FunctionType


@contextmanager
def planted(module_name, old, new):
    """`module_name` with `old` in its source replaced by `new`, for everyone who has imported from it.

    Functions and methods get the code of the changed source, constants its values; both are put back.
    """
    module = importlib.import_module(module_name)
    source = inspect.getsource(module)
    assert source.count(old) == 1, f"{old!r} stands {source.count(old)} times in {module_name}"
    changed = {"__name__": module_name, "__file__": module.__file__}
    exec(compile(source.replace(old, new), module.__file__, "exec"), changed)
    undo = []
    for before, after in _functions(vars(module), changed, module_name):
        undo.append((before, before.__code__))
        before.__code__ = after.__code__
    constants = {name: value for name, value in changed.items() if name.isupper() and name in vars(module)}
    kept = {name: getattr(module, name) for name in constants}
    vars(module).update(constants)
    try:
        yield
    finally:
        vars(module).update(kept)
        for function, code in undo:
            function.__code__ = code


def _functions(before, after, module_name):
    """Pairs of functions of the same place in two namespaces, for those that the module itself defines."""
    for name, found in list(before.items()):
        value, other = (getattr(x, "fget", x) for x in (found, after.get(name)))
        if isinstance(value, FunctionType) and isinstance(other, FunctionType):
            if value.__module__ == module_name and value.__code__.co_filename == other.__code__.co_filename:
                yield value, other
        elif isinstance(value, type) and value.__module__ == module_name:
            yield from _functions(dict(vars(value)), dict(vars(other)), module_name)
