"""Side effects that appear only when something around the call changes; tried on a small case.

- another default dtype: an intermediate that takes it changes the result;
- allocations that hold NaN: memory that is read before it is written shows;
- other values in the same memory, prepared anew: a result kept by address shows;
  one kept by shape shows as well, and in every family after the first.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from attnbench.bench.agreement.compare import compare
from attnbench.bench.agreement.inputs import make_inputs
from attnbench.bench.agreement.judging_device import unexpected_dtype
from attnbench.bench.agreement.observe import bits, verdict
from attnbench.bench.agreement.oracle import Expectation, Oracle
from attnbench.bench.records.schema import Check
from attnbench.impls.contract import Call, Case, Implementation


def effects(
    implementation: Implementation, case: Case, oracle: Oracle, seed: int, *, surroundings: bool = True
) -> tuple[Check, ...]:
    """The three checks of this module on `case`, which should be small; the first two only with `surroundings`."""
    if not surroundings:
        return (_fresh(implementation, case, oracle, seed),)
    inputs = make_inputs(case, "normal", seed, oracle.device)
    with implementation.bound(inputs) as call:
        plain = call().out
        wanted = oracle.expect(case, "normal", seed)
        dtype = unexpected_dtype(oracle.device)
        checks = [_default_dtype(call, plain, wanted, dtype), _unwritten(call, plain)]
    return (*checks, _fresh(implementation, case, oracle, seed))


def _default_dtype(call: Call, plain: Tensor, wanted: Expectation, dtype: torch.dtype) -> Check:
    """The result stays right, and of its dtype, whatever ``torch.get_default_dtype()`` is."""
    before, with_it = torch.get_default_dtype(), f"with {str(dtype).removeprefix('torch.')} as the default dtype"
    torch.set_default_dtype(dtype)
    try:
        out = call().out
    except (RuntimeError, TypeError) as error:
        words = f"{with_it} it raises {type(error).__name__}: {str(error).splitlines()[0]}"
        return Check(name="default dtype", ok=False, required=False, detail=words)  # no result, so no wrong one
    finally:
        torch.set_default_dtype(before)
    if out.dtype != plain.dtype:
        return verdict("default dtype", f"{with_it} the output is {out.dtype}")
    right = [compare("out", "normal", x, wanted.targets["out"], wanted.rows).ok for x in (out, plain)]
    lost = right == [False, True]
    return verdict("default dtype", f"{with_it} the result is wrong" if lost else "")


def _unwritten(call: Call, plain: Tensor) -> Check:
    """No NaN comes out when every ``torch.empty`` is full of it."""
    with filled_allocations():
        out = call().out
    holes = int((out.isnan() & ~plain.isnan()).sum())
    words = f"{holes} elements come from memory that nothing wrote (torch.empty)"
    return verdict("memory written", words if holes else "")


@contextmanager
def filled_allocations() -> Iterator[None]:
    """``torch.empty`` fills with NaN here, a service of torch's deterministic mode."""
    mode = torch.get_deterministic_debug_mode()
    filling = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]  # set on the module
    torch.utils.deterministic.fill_uninitialized_memory = True  # type: ignore[attr-defined]  # as above
    torch.set_deterministic_debug_mode("warn")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what varies from call to call is another check's matter
            yield
    finally:
        torch.set_deterministic_debug_mode(mode)
        torch.utils.deterministic.fill_uninitialized_memory = filling  # type: ignore[attr-defined]  # as above


def _fresh(implementation: Implementation, case: Case, oracle: Oracle, seed: int) -> Check:
    """New values in the very same tensors, prepared anew, give the new values' result."""
    inputs = make_inputs(case, "normal", seed, oracle.device)
    first = implementation.run(inputs).out.clone()
    others = make_inputs(case, "normal", seed + 1, oracle.device).tensors()
    with torch.no_grad():
        for name, x in inputs.tensors().items():
            x.copy_(others[name])
    second = implementation.run(inputs).out
    wanted = oracle.expect(case, "normal", seed + 1)

    def right(out: Tensor) -> bool:
        return compare("out", "normal", out, wanted.targets["out"], wanted.rows).ok

    if right(second):
        return verdict("fresh results", "")
    if torch.equal(bits(first), bits(second)):
        words = "with other values in the same tensors it gives the result of the values before: it was cached"
        return verdict("fresh results", words)
    elsewhere = implementation.run(make_inputs(case, "normal", seed + 1, oracle.device)).out
    words = "it is wrong in tensors that held other values before, and right in new ones"
    return verdict("fresh results", words if right(elsewhere) else "")
