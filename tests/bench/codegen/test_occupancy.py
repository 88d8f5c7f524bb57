import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnbench.bench.codegen.occupancy import Demand, occupancy
from attnbench.bench.codegen.target import KIB, TARGETS, UnknownTarget, find

# "Volta" of the guides' examples: its limits are those of sm_80 with 96 KiB of shared memory.
VOLTA = replace(
    find("sm_80"), name="sm_70", capability=70, shared_per_sm=96 * KIB, shared_per_cta=96 * KIB, shared_reserved=0
)
CALCULATED = json.loads((Path(__file__).parents[2] / "data" / "occupancy.json").read_text())


@pytest.mark.parametrize(
    ("threads", "registers", "ctas", "share"),
    [(128, 37, 12, 0.75), (320, 37, 4, 0.63), (128, 32, 16, 1.0)],
    ids=["37 registers, 128 threads", "37 registers, 320 threads", "32 registers allow full occupancy"],
)
def test_examples_of_the_best_practices_guide(threads, registers, ctas, share):
    """CUDA C++ Best Practices Guide, "Calculating Occupancy"."""
    found = occupancy(VOLTA, Demand(warps=threads // 32, registers=registers))
    assert found.ctas == ctas
    assert found.ctas * threads // 32 / VOLTA.warps_per_sm == pytest.approx(share, abs=0.006)


@pytest.mark.parametrize(("registers", "ctas"), [(64, 2), (65, 1)])
def test_example_of_the_programming_guide(registers, ctas):
    """CUDA Programming Guide, "Multiprocessor Level": 512 threads with 64 registers, and with one more."""
    found = occupancy(VOLTA, Demand(warps=16, registers=registers))
    assert (found.ctas, found.limit) == (ctas, "registers" if registers == 65 else found.limit)


@pytest.mark.parametrize("case", CALCULATED, ids=lambda c: f"{c[0]}-w{c[1]}-r{c[2]}-s{c[3]}")
def test_nvidias_calculator_says_the_same(case):
    """``cuda_occupancy.h`` of the CUDA toolkit, largest shared-memory carve-out."""
    target, warps, registers, shared_bytes, ctas = case
    assert occupancy(find(target), Demand(warps=warps, registers=registers, shared_bytes=shared_bytes)).ctas == ctas


demands = st.builds(
    Demand,
    warps=st.integers(1, 32),
    registers=st.integers(16, 255),
    shared_bytes=st.integers(0, 227 * KIB),
    tensor_columns=st.sampled_from([0, 32, 128, 512]),
)


@given(target=st.sampled_from(sorted(TARGETS)), demand=demands, more=st.integers(1, 4096))
def test_asking_for_more_never_gives_more(target, demand, more):
    before = occupancy(find(target), demand).ctas
    assert occupancy(find(target), replace(demand, shared_bytes=demand.shared_bytes + more)).ctas <= before
    assert occupancy(find(target), replace(demand, registers=demand.registers + more)).ctas <= before
    assert occupancy(find(target), replace(demand, warps=demand.warps + 1)).ctas <= before


@given(target=st.sampled_from(sorted(TARGETS)), demand=demands)
def test_what_is_resident_fits(target, demand):
    limits, found = find(target), occupancy(find(target), demand)
    assert found.ctas * demand.warps <= limits.warps_per_sm
    assert found.ctas * demand.warps * 32 * demand.registers <= limits.registers_per_sm
    assert found.ctas * demand.shared_bytes <= limits.shared_per_sm
    assert found.limits[found.limit] == found.ctas


def test_tensor_memory_limits_too():
    demand = Demand(warps=4, registers=64, shared_bytes=KIB, tensor_columns=256)
    assert occupancy(find("sm_100"), demand) == replace(
        occupancy(find("sm_100"), demand), ctas=2, limit="tensor memory"
    )


def test_an_unknown_target_is_refused_with_those_there_are():
    with pytest.raises(UnknownTarget, match=r"sm_75.*sm_80, .*sm_120"):
        find("sm_75")
