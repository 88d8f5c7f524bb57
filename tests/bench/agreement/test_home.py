"""Results of a device without float64 are judged on the CPU, and its implementations make no float64 there."""

import pytest
import torch

from attnbench.bench.agreement.check import check
from attnbench.bench.agreement.oracle import Oracle
from attnbench.bench.registry.catalogue import catalogue, find
from attnbench.bench.registry.user_file import load_user_file
from attnbench.impls.contract import ANY_DEVICE, parse_case
from tests.bench.agreement.far_device import Far, FarDevice

ANYWHERE = [name for name, one in catalogue().items() if one.devices == ANY_DEVICE]
CASES = ("b2-h4-kv2-s16-d8-causal-fp32-fwd+bwd", "b1-h2-q3-k16-d8-window:5:2-cache:24:16-alibi-fp16")


@pytest.fixture
def far(monkeypatch):
    monkeypatch.setattr(torch.accelerator, "synchronize", lambda: None)
    with FarDevice():
        yield


def test_the_simulated_device_has_no_float64_and_is_left_only_on_purpose(far):
    x = torch.zeros(3, device="mps")
    assert isinstance(x + 1, Far)
    assert x.device.type == "mps"
    with pytest.raises(TypeError, match="float64"):
        x.double()
    assert x.cpu().double().device.type == "cpu"


@pytest.mark.parametrize("text", CASES)
@pytest.mark.parametrize("name", ANYWHERE)
def test_what_claims_every_device_is_judged_on_one_without_float64(far, name, text):
    case = parse_case(text)
    if find(name).supports(case, "mps"):
        pytest.skip("it can't do this case anywhere")
    properties = ("linearity", "split-merge", "grouping")
    families = ("normal", "needle")
    found = check(find(name), case, Oracle(device="mps"), families=families, properties=properties).agreement
    assert found.ok, (found.failures, found.failed_checks)


@pytest.mark.parametrize("text", ["b1-h2-s16-d8-full-fp32", "b1-h2-s16-d8-causal-fp32-fwd+bwd"])
def test_a_wrong_one_gets_its_hint_there_too(far, kernels, text):
    wrong = load_user_file(f"{kernels}/hostile.py:doubles")
    found = check(wrong, parse_case(text), Oracle(device="mps"), families=("normal",), properties=()).agreement
    assert not found.ok
    assert found.failures[0].hint
