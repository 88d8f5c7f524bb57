"""NVML is asked about the very GPU that torch works on, and each figure that it lacks is absent alone."""

import pytest

from attnbench.bench.records.environment import environment, gpu_facts
from attnbench.bench.records.nvml import UnknownGpu, gpu
from attnbench.bench.timing.gpu import energy_counter_mj, gpu_figures
from tests.bench.timing.nvml import UUID, Nvml
from tests.bench.timing.simulated import Hardware


@pytest.fixture
def nvml(monkeypatch):
    def put(**keywords):
        monkeypatch.setitem(__import__("sys").modules, "pynvml", Nvml(Hardware(), **keywords))

    return put


def test_the_gpu_is_found_by_its_uuid_among_others(nvml):
    nvml(others=("bbbb-2", UUID))
    assert gpu(UUID)[1] == ("GPU", UUID)
    assert energy_counter_mj(UUID) == 5000
    assert energy_counter_mj("bbbb-2") == 7
    assert gpu()[1] == ("GPU", "bbbb-2"), "without a UUID it is the first"


def test_a_slice_is_counted_by_the_gpu_that_holds_it(nvml):
    nvml(mig=True)
    assert gpu(UUID)[1] == ("GPU", f"holder of {UUID}")


def test_figures_of_another_gpu_are_never_given(nvml):
    nvml(others=("bbbb-2",))
    with pytest.raises(UnknownGpu, match="NVML knows no GPU"):
        gpu("cccc-3")
    assert gpu_figures("cccc-3").figures == {}
    assert energy_counter_mj("cccc-3") is None
    assert "knows no GPU" in gpu_facts("cccc-3")["nvml"]


def test_a_figure_that_is_not_supported_is_absent_and_the_others_stay(nvml):
    nvml()
    found = gpu_figures(UUID)
    assert found.figures == {"sm_mhz": 1980, "memory_mhz": 1980, "temperature_c": 50}
    assert found.throttle_reasons == ()


def test_two_gpus_of_one_model_may_be_compared(nvml):
    nvml()
    facts = {"threads": "1", "gpu": "H100"}
    first, second = (environment("cuda", {**facts, "uuid": uuid}) for uuid in (UUID, UUID))
    other = environment("cuda", {**facts, "uuid": ""})
    assert first.informational["gpu_uuid"] == UUID
    assert first.fingerprint == second.fingerprint == other.fingerprint
    assert first.must_match["ecc"] == "Not Supported"


def test_a_machine_without_nvml_says_so(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pynvml", None)
    assert gpu() is None
    assert gpu_figures().figures == {}
    assert "not there" in gpu_facts()["nvml"]
