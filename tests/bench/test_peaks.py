"""Peaks: published ones for the right GPU and no other, measured ones kept, and the roofline they make."""

import msgspec
import pytest

from attnbench.bench.records.peaks import Peaks, published_for, published_peaks, roofline
from attnbench.bench.records.schema import Environment
from attnbench.bench.timing import measured_peaks as measuring
from attnbench.impls.contract import parse_case


@pytest.mark.parametrize(
    ("name", "device", "half_tflops", "gb_per_s"),
    [
        ("NVIDIA H100 80GB HBM3", "H100 SXM", 989, 3350),
        ("NVIDIA H100 PCIe", "H100 PCIe", 756, 2000),
        ("NVIDIA H100 NVL", "H100 NVL", 835, 3900),
        ("H100-SXM5", "H100 SXM", 989, 3350),
        ("NVIDIA H200", "H200 SXM", 989, 4800),
        ("NVIDIA H200 NVL", "H200 NVL", 835, 4800),
        ("NVIDIA A100-SXM4-80GB", "A100 SXM 80 GB", 312, 2039),
        ("NVIDIA A100-SXM4-40GB", "A100 SXM 40 GB", 312, 1555),
        ("NVIDIA A100 80GB PCIe", "A100 PCIe 80 GB", 312, 1935),
        ("NVIDIA A100-PCIE-40GB", "A100 PCIe 40 GB", 312, 1555),
        ("NVIDIA B200", "B200", 2250, 8000),
        ("NVIDIA GeForce RTX 4090", "RTX 4090", 165, 1008),
        ("NVIDIA L40S", "L40S", 362, 864),
        ("NVIDIA L4", "L4", 121, 300),
    ],
)
def test_a_gpu_is_found_by_the_words_of_its_name(name, device, half_tflops, gb_per_s):
    found = published_peaks(name)
    assert found is not None
    assert found.device == device
    assert found.flops_per_s["bf16"] == found.flops_per_s["fp16"] == half_tflops * 1e12
    assert found.bytes_per_s == gb_per_s * 1e9


@pytest.mark.parametrize(
    "name",
    [
        "NVIDIA H100 80GB HBM3 MIG 1g.10gb",
        "NVIDIA GeForce RTX 4090 Laptop GPU",
        "NVIDIA GeForce RTX 4090 D",
        "NVIDIA GH200 480GB",
        "NVIDIA H800",
        "NVIDIA H20",
        "NVIDIA L40",
        "NVIDIA A10",
        "AMD EPYC",
        "",
    ],
)
def test_another_product_has_no_figure(name):
    assert published_peaks(name) is None


def test_properties_that_contradict_the_name_have_no_figure():
    assert published_peaks("NVIDIA H100 80GB HBM3", sms=132, memory_bytes=85_028_765_696) is not None
    assert published_peaks("NVIDIA H100 80GB HBM3", sms=66) is None
    assert published_peaks("NVIDIA H100 80GB HBM3", sms=132, memory_bytes=40_000_000_000) is None


def test_an_environment_is_looked_up_by_its_hard_facts():
    hard = {"gpu": "NVIDIA H100 80GB HBM3", "sms": "132", "gpu_memory_bytes": "85028765696", "cpu": "any"}
    found = published_for(hard)
    assert found is not None
    assert found.device == "H100 SXM"
    assert published_for({"cpu": "any"}) is None


PEAKS = Peaks(device="test", flops_per_s={"fp32": 1e12}, bytes_per_s=1e11, source="made up")


def test_the_roofline_of_a_decode_is_memory_and_of_a_prefill_compute():
    decode = roofline(parse_case("b1-h32-kv8-q1-k8192-d128-causal-fp32"), PEAKS)
    prefill = roofline(parse_case("b1-h32-s4096-d128-causal-fp32"), PEAKS)
    assert decode is not None
    assert prefill is not None
    assert (decode.bound, prefill.bound) == ("memory", "compute")
    assert decode.seconds == pytest.approx((2 * 8192 * 8 * 128 * 4 + 2 * 32 * 128 * 4 + 32 * 4) / 1e11)
    assert prefill.seconds == pytest.approx(4 * (4096 * 4097 // 2) * 32 * 128 / 1e12)
    assert prefill.share(2 * prefill.seconds) == 0.5
    assert roofline(parse_case("b1-h32-s4096-d128-causal-bf16"), PEAKS) is None


@pytest.fixture
def quick_probe(monkeypatch, tmp_path):
    monkeypatch.setenv("ATTNBENCH_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(measuring, "PROBE_S", 0.0)
    monkeypatch.setattr(measuring, "SIZES", {"cpu": (32, 64)})
    monkeypatch.setattr(measuring, "COPY_BYTES", {"cpu": 1 << 20})
    return tmp_path


def environment(**hard):
    return Environment(device="cpu", device_name="this one", must_match={"device": "cpu", **hard})


def test_measured_peaks_are_kept_for_each_fingerprint(quick_probe, monkeypatch):
    first = measuring.measured_peaks(environment(cpu="a"))
    assert set(first.flops_per_s) == {"fp32", "bf16", "fp16"}
    assert all(rate > 0 for rate in (*first.flops_per_s.values(), first.bytes_per_s))
    monkeypatch.setattr(measuring, "measure_flops", lambda *_: 1.0)
    assert measuring.measured_peaks(environment(cpu="a")) == first
    assert measuring.measured_peaks(environment(cpu="b")).flops_per_s["fp32"] == 1.0
    assert measuring.measured_peaks(environment(cpu="a"), again=True).flops_per_s["fp32"] == 1.0
    assert len(list((quick_probe / "peaks").iterdir())) == 2


def test_a_damaged_file_is_measured_anew(quick_probe):
    path = quick_probe / "peaks" / f"{environment().fingerprint}.json"
    path.parent.mkdir()
    path.write_text("{torn")
    found = measuring.measured_peaks(environment(), ["fp32"])
    assert msgspec.json.decode(path.read_bytes(), type=Peaks) == found


def test_a_probe_stops_growing_once_a_call_is_long_enough(monkeypatch):
    sizes = []

    class Slow:
        """A device on which every product takes longer than the last useful size."""

        float32 = "float32"

        def randn(self, *shape, device):
            sizes.append(shape[0])
            return self

        def to(self, dtype):
            return self

        def matmul(self, a, b):
            return None

        def get_float32_matmul_precision(self):
            return "highest"

        def set_float32_matmul_precision(self, name):
            pass

    monkeypatch.setattr(measuring, "shortest_s", lambda *_: 1.0)
    assert measuring.measure_flops(Slow(), "cpu", "fp32") == 2 * min(measuring.SIZES["cpu"]) ** 3
    assert set(sizes) == {min(measuring.SIZES["cpu"])}


def test_the_shortest_call_counts_but_the_first_never(monkeypatch):
    ticks = iter([0.0, *(t for pair in ((0, 1), (1, 6), (6, 9), (9, 13)) for t in pair), 99.0])
    monkeypatch.setattr(measuring, "perf_counter", lambda: next(ticks))
    assert measuring.shortest_s(lambda: None, lambda: None, budget_s=0.0) == 3
