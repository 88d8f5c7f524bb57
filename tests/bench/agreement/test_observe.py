"""Side effects, with a device of several streams that is faked."""

import itertools
from dataclasses import replace

import pytest
import torch

from attnbench.bench.agreement.check import check
from attnbench.bench.agreement.inputs import make_inputs
from attnbench.bench.agreement.observe import global_state, observe, restored
from attnbench.bench.agreement.oracle import Oracle
from attnbench.bench.agreement.properties import try_properties
from attnbench.bench.registry.user_file import load_user_file
from attnbench.impls.contract import Outputs, parse_case
from tests.mutants.table import MUTANTS, SINGLE
from tests.soundness.variants import VARIANTS

HONEST = VARIANTS["tiles of 64"]


class FakeStreams:
    """A device whose other stream does its work only when the whole device is waited for."""

    def __init__(self):
        self.pending = []

    def wait_for_all(self):
        while self.pending:
            self.pending.pop(0)()

    def wait_for_current(self):
        pass


@pytest.mark.parametrize("elsewhere", [False, True])
def test_work_left_on_another_stream_shows(elsewhere):
    inputs, streams = make_inputs(parse_case(SINGLE), "normal", 0), FakeStreams()

    def call():
        right = HONEST.run(inputs).out
        if not elsewhere:
            return Outputs(right)
        out = torch.zeros_like(right)
        streams.pending.append(lambda: out.copy_(right))
        return Outputs(out)

    (found,) = [c for c in observe(call, inputs, streams).checks if c.name == "own stream"]
    assert found.ok is not elsewhere
    assert elsewhere == ("another stream" in found.detail)


def test_settings_are_put_back_and_named():
    state = global_state()
    torch.set_default_dtype(torch.float64)
    found = restored(state)
    assert not found.ok
    assert "default dtype" in found.detail
    assert torch.get_default_dtype() is torch.float32


@pytest.mark.parametrize("mode", ["default", "warn", "error"])
def test_the_deterministic_mode_is_put_back_to_what_it_was(mode):
    before = torch.get_deterministic_debug_mode()
    try:
        torch.set_deterministic_debug_mode(mode)
        was = torch.get_deterministic_debug_mode()
        state = global_state()
        torch.set_deterministic_debug_mode("error" if mode == "default" else "default")
        found = restored(state)
        assert "deterministic algorithms" in found.detail
        assert torch.get_deterministic_debug_mode() == was
    finally:
        torch.set_deterministic_debug_mode(before)


def test_a_check_loads_no_compiler(fresh):
    """Inductor, and sympy with it, cost each process half a second."""
    code = (
        "import sys; from attnbench.bench.agreement.check import check; from attnbench.bench.agreement.oracle import Oracle; "
        "from attnbench.impls.contract import parse_case; from attnbench.bench.registry.catalogue import find; "
        "found = check(find('masked_fill'), parse_case('b1-h2-s16-d8-causal-fp32'), Oracle()); "
        "print(found.agreement.ok, sorted({'sympy', 'torch._dynamo', 'torch._inductor'} & set(sys.modules)))"
    )
    assert fresh(code) == "True []"


@pytest.mark.parametrize(
    "name", ["sets_default_dtype", "switches_grad_off", "switches_threads", "reseeds", "draws"]
)
def test_a_check_leaves_the_process_as_it_was(name):
    mutant = next(m for m in MUTANTS if m.name == name)
    state, random = global_state(), torch.get_rng_state()
    check(load_user_file(mutant.path), parse_case(mutant.case), Oracle())
    assert global_state() == state
    assert torch.equal(torch.get_rng_state(), random)


def broken(change):
    """The honest kernel with its output changed by `change(inputs, out)`."""
    return replace(HONEST, prepare=lambda i: lambda: Outputs(change(i, HONEST.run(i).out)))


BREAKS = {
    "causality": ("b1-h2-s64-d32-causal-fp32", lambda i, out: out + 1e-2 * i.v.mean(2, keepdim=True)),
    "key permutation": ("b1-h2-s64-d32-full-fp32", lambda i, out: out + 1e-2 * i.v[:, :, :1]),
    "ones": ("b1-h2-s64-d32-full-fp32", lambda _, out: out * 1.01),
    "linearity": ("b1-h2-s64-d32-full-fp32", lambda i, out: out + 1e-2 * i.v.square().mean(2, keepdim=True)),
    "grouping": (SINGLE, lambda i, out: out * (1.01 if i.case.groups > 1 else 1.0)),
    "batch invariance": ("b2-h2-s64-d32-full-fp32", lambda i, out: out * (1 + 1e-6 * i.case.batch)),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_property_holds_for_an_honest_kernel_and_not_for_a_broken_one(name):
    text, change = BREAKS[name]
    case, oracle = parse_case(text), Oracle()
    assert all(c.ok for c in try_properties(HONEST, case, oracle, 0, [name]))
    (found,) = try_properties(broken(change), case, oracle, 0, [name])
    assert not found.ok
    assert found.detail


def test_split_merge_needs_a_right_lse():
    case, oracle = parse_case("b1-h2-q8-k64-d32-full-fp32"), Oracle()
    (right,) = try_properties(HONEST, case, oracle, 0, ["split-merge"])
    assert right.ok

    def prepare(inputs):
        def call():
            found = HONEST.run(inputs)
            return Outputs(found.out, found.lse * 1.05)

        return call

    (found,) = try_properties(replace(HONEST, prepare=prepare), case, oracle, 0, ["split-merge"])
    assert not found.ok


def test_a_backward_that_varies_is_reported_and_not_called_wrong():
    turns = itertools.count()

    class Shaky(torch.autograd.Function):
        @staticmethod
        def forward(_ctx, x):
            return x.clone()

        @staticmethod
        def backward(_ctx, g):
            return g * (1 + 3e-7 * (next(turns) % 2))

    shaky = broken(lambda _, out: Shaky.apply(out))
    found = check(shaky, parse_case("b1-h2-s64-d32-full-fp32-bwd"), Oracle()).agreement
    (varies,) = [c for c in found.checks if c.name == "backward determinism"]
    assert not varies.ok
    assert not varies.required
    assert found.ok
