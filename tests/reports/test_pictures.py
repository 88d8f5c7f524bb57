import msgspec
import numpy as np
import pytest
from synthetic import plausible, shape

from attnbench.bench.records.schema import Environment, Peaks
from attnbench.impls.contract import Causal, Full, Packed, Window
from attnbench.reports.pictures import picture, pictures, visible_shares
from attnbench.reports.roofs import roofs


@pytest.mark.parametrize(
    ("mask", "fields"),
    [
        (Full(), {}),
        (Causal(), {}),
        (Window(63, 0), {}),
        (Causal(), {"layout": Packed((128, 64, 64), (128, 64, 64))}),
    ],
)
def test_the_visible_area_is_the_exact_share_of_pairs(mask, fields):
    case = shape(2, 2, 32, 256, 256, mask=mask, **fields)
    assert visible_shares(case).mean() == pytest.approx(case.pairs / 256**2, abs=0.01)


def test_causal_is_aligned_bottom_right():
    shares = visible_shares(shape(2, 2, 32, 128, 512, mask=Causal()))
    assert shares[-1, -2] == 1
    assert shares[0, -1] == 0
    assert shares[0, 0] == 1


def test_a_picture_draws_every_cell_that_is_seen():
    drawn = picture(shape(2, 2, 32, 64, 64, mask=Full()))
    assert [level for level, _ in drawn.paths] == [1.0]
    assert drawn.paths[0][1].count("M") == drawn.size


def test_one_picture_for_each_mask_and_layout(golden):
    assert [one.title for one in pictures([golden])] == ["causal", "full", "window:255:0", "causal"]
    assert all(np.isfinite(level) for one in pictures([golden]) for level, _ in one.paths)


def test_a_ceiling_belongs_to_its_run_and_its_dtypes():
    cases = [shape(2, 2, 32, 64, 64, dtype="bf16", mask=Full())]
    gpu = Environment(device="cuda", device_name="NVIDIA H100 PCIe", must_match={"gpu": "NVIDIA H100 PCIe"})
    measured = Peaks(device="cpu", flops_per_s={"bf16": 1e12, "fp32": 2e12}, bytes_per_s=5e10, source="measured")
    cpu = plausible(1, cases=cases)
    cpu = msgspec.structs.replace(cpu, header=msgspec.structs.replace(cpu.header, peaks=measured))
    found = roofs([cpu, plausible(2, cases=cases, machine=gpu)])
    assert [(roof.run_index, roof.dtype, roof.tflop_s, roof.gb_s) for roof in found] == [
        (0, "bf16", 1.0, 50.0),
        (1, "bf16", 756.0, 2000.0),
    ]
