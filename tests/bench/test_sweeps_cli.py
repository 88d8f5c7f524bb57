"""The commands ``sweep`` and ``mask``, and the pictures."""

import json
import os
import struct
import subprocess
import sys
import xml.etree.ElementTree as ET
import zlib
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from attnbench.bench.cli.mask import command as mask_command
from attnbench.bench.cli.sweep import command as sweep_command
from attnbench.bench.sweeps import SweepError, mask_picture
from attnbench.impls.contract import cost, parse_case

ROOT = Path(__file__).parents[2]


def run(command, *arguments):
    return CliRunner().invoke(command, arguments, catch_exceptions=False)


def test_a_sweep_is_printed_with_its_cost():
    done = run(sweep_command, "peer8", "--no-estimate")
    assert done.exit_code == 0
    case = parse_case("b1-h4-s1024-d64-causal-fp32")
    assert case.id in done.output
    assert f"{cost(case).pairs:,}" in done.output
    assert "4 cases, 0 left out" in done.output


def test_what_is_left_out_is_printed_with_the_reason():
    done = run(sweep_command, "peer8", "--max-memory", "5MiB", "--no-estimate")
    assert "left out: b1-h4-s1024-d64-causal-fp32: needs" in done.output


def test_a_sweep_for_machines():
    done = run(
        sweep_command,
        "--model",
        "llama3-8b",
        "--phase",
        "prefill,decode",
        "--context",
        "8k",
        "--no-estimate",
        "--json",
    )
    found = json.loads(done.stdout)
    assert [case["case"] for case in found["cases"]] == [
        "b1-h32-kv8-s8192-d128-causal-fp32", "b1-h32-kv8-q1-k8192-d128-causal-fp32",
    ]  # fmt: skip
    assert found["cases"][1]["flops"] == 4 * 8192 * 32 * 128
    assert "estimate_s" not in found


def test_an_estimate_says_how_it_was_made(monkeypatch, tmp_path):
    monkeypatch.setenv("ATTNBENCH_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr("attnbench.bench.timing.measured_peaks.PROBE_S", 0.0)
    monkeypatch.setattr("attnbench.bench.timing.measured_peaks.SIZES", {"cpu": (64,)})
    monkeypatch.setattr("attnbench.bench.timing.measured_peaks.COPY_BYTES", {"cpu": 1 << 20})
    done = run(sweep_command, "smoke", "--impl", "masked_fill", "--json")
    found = json.loads(done.stdout)
    assert found["implementations"] == 1
    assert all(case["implementations"] == 1 for case in found["cases"])
    assert found["estimate_s"] > sum(case["case_s"] for case in found["cases"]) > 0
    assert "measured peak" in found["method"]
    assert set(found["peaks"]["flops_per_s"]) == {"fp32", "bf16", "fp16"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["quik"], "expected full, peer8, quick, smoke"),
        (["--q-len", "1:9:2"], "--q-len: '1:9:2' is no range"),
        (["smoke", "--impl", "masked_fil"], "did you mean masked_fill"),
        (["smoke", "--device", "cuda"], "device cuda is not there"),
    ],
)
def test_a_wrong_call_is_one_line_and_exit_2(arguments, told):
    done = run(sweep_command, *arguments)
    assert done.exit_code == 2
    assert told in done.output
    assert "Traceback" not in done.output


def test_a_sweep_without_an_estimate_and_a_mask_import_no_torch():
    code = (
        "import sys; from click.testing import CliRunner as R\n"
        "from attnbench.bench.cli.mask import command as m; from attnbench.bench.cli.sweep import command as s\n"
        "assert R().invoke(s, ['quick', '--no-estimate']).exit_code == 0\n"
        "assert R().invoke(m, ['causal']).exit_code == 0\n"
        "assert 'torch' not in sys.modules\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_mask_in_the_terminal():
    done = run(mask_command, "causal", "--q-len", "2", "--kv-len", "4")
    assert done.output.splitlines() == ["██████  ", "████████", "causal: 2 queries, 4 keys; 7 of 8 pairs (87.5%)"]


def test_what_is_no_data_looks_other_than_what_is_hidden():
    lines = run(mask_command, "causal", "--layout", "packed:1/2").output.splitlines()
    assert lines[:3] == ["██····", "··██  ", "··████"]


def test_rows_that_differ_are_shown_apart():
    lines = run(mask_command, "full", "--layout", "cache:4:3/1x2", "--q-len", "1").output.splitlines()
    assert lines[:4] == ["row 0", "██████··", "row 1, 2", "██······"]


def test_a_case_id_is_drawn_too():
    assert "36 of 64 pairs" in run(mask_command, "b1-h2-s8-d16-causal-fp32").output


def test_a_picture_of_a_long_mask_shows_shares():
    text = run(mask_command, "causal", "--q-len", "1k").output
    assert "▒" in text or "▓" in text
    assert len(text.splitlines()) < 50


@pytest.mark.parametrize("suffix", ["svg", "png", "html"])
def test_a_mask_in_a_file(suffix, tmp_path):
    out = tmp_path / f"mask.{suffix}"
    done = run(mask_command, "window:3:1", "--q-len", "9", "-o", str(out))
    assert done.exit_code == 0
    assert str(out) in done.output
    assert out.stat().st_size > 100


def test_the_svg_is_well_formed_and_its_seen_area_is_the_pairs():
    case = parse_case("b1-h1-q9-k12-d1-window:3:1-fp32")
    svg = ET.fromstring(mask_picture.as_svg(case, mask_picture.panels(case)))
    blue = "#{:02x}{:02x}{:02x}".format(*mask_picture.COLOURS["seen"])
    widths = [int(r.get("width")) for r in svg.iter("{http://www.w3.org/2000/svg}rect") if r.get("fill") == blue]
    assert sum(widths) // mask_picture.CELL == case.pairs


def test_the_png_holds_the_mask():
    case = parse_case("b1-h1-q9-k12-d1-prefix:4-fp32")
    data = mask_picture.as_png(mask_picture.panels(case))
    width, height = struct.unpack(">II", data[16:24])
    assert (width, height) == (12 * mask_picture.CELL, 9 * mask_picture.CELL)
    start = data.index(b"IDAT")
    (size,) = struct.unpack(">I", data[start - 4 : start])
    pixels = np.frombuffer(zlib.decompress(data[start + 4 : start + 4 + size]), np.uint8).reshape(height, -1)
    pixels = pixels[:: mask_picture.CELL, 1:].reshape(9, 12, mask_picture.CELL, 3)[:, :, 0]
    seen = (pixels == mask_picture.COLOURS["seen"]).all(-1)
    expected = [[bool(case.mask.visible(i + 3, j)) for j in range(12)] for i in range(9)]
    assert seen.tolist() == expected


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.sampled_from(["causal", "window:5:2", "blocks:4:1:1:3:full"]))
def test_shares_of_blocks_add_up_to_the_pairs(queries, keys, mask):
    case = parse_case(f"b1-h1-q{queries}-k{keys}-d1-{mask}-fp32")
    (panel,) = mask_picture.panels(case, 16)
    rows, columns = panel.block
    heights = np.minimum(rows, queries - np.arange(0, queries, rows))
    widths = np.minimum(columns, keys - np.arange(0, keys, columns))
    assert round(float((panel.grid * heights[:, None] * widths).sum())) == case.pairs
    assert max(panel.grid.shape) <= 16


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["causl"], "window:LEFT:RIGHT"),
        (["causal", "-o", "mask.jpg"], "ends in .png, .svg, .html"),
        (["causal", "--q-len", "128k"], "too many to draw"),
        (["causal", "--layout", "packed:3/x"], "packed:LENGTHS"),
        (["causal", "--batch", "2", "--layout", "padded:30"], "1 lengths for a batch of 2"),
        (["b1-h2-s8"], "lacks head_dim"),
        (["causal", "-o", "/nowhere/at/all.svg"], "can't be written"),
    ],
)
def test_a_wrong_mask_is_one_line_and_exit_2(arguments, told):
    done = run(mask_command, *arguments)
    assert done.exit_code == 2
    assert told in done.output


def test_too_large_a_picture_is_refused():
    with pytest.raises(SweepError, match="too many to draw"):
        mask_picture.panels(parse_case("b1-h1-s131072-d1-causal-fp32"))
