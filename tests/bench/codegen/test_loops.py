from collections import Counter
from dataclasses import replace

import pytest

from attnbench.bench.codegen import control_flow, sass
from attnbench.bench.codegen.classes import PIPES, STEMS, classify
from attnbench.bench.codegen.loops import main_loops, work_loops
from attnbench.bench.codegen.sass import Instruction
from attnbench.bench.codegen.tensor import cta_macs, tensor_class, warp_macs

TILE_MACS = {  # two products of the tile's queries, keys and head_dim
    "sm_80-causal": 2 * 64 * 32 * 32,
    "sm_80-spills": 2 * 64 * 32 * 64,
    "sm_90-full": 2 * 64 * 64 * 64,
    "sm_100-specialised": 2 * 128 * 32 * 64,
}


def test_the_main_loop_has_the_products_of_one_tile(golden, read):
    works = read(golden)[2]
    assert works[0].macs == TILE_MACS[golden]


def test_the_main_loop_of_a_causal_kernel_is_the_one_without_the_mask(read):
    _, graph, works = read("sm_80-causal")
    both = [work for work in work_loops(graph, 4) if work.products]
    assert len(both) == 2
    assert len(works) == 1
    assert len(works[0].iteration) == min(len(work.iteration) for work in both)
    assert not any(i.stem == "FSEL" for i in works[0].iteration)


def test_partitions_of_a_specialised_kernel_are_told_apart(read):
    works = read("sm_100-specialised")[2]
    partitions = {work.partition: work.warps for work in works}
    assert len(partitions) == len(works) >= 3
    assert works[0].products, "the partition with the products comes first"
    softmax = max(works, key=lambda work: sum(i.stem == "MUFU" for i in work.iteration))
    assert softmax.warps == 4
    assert not softmax.products
    assert sum(i.opcode == "MUFU.EX2" for i in softmax.iteration) * 32 * softmax.warps >= 128 * 32


def test_a_kernel_of_equal_warps_is_one_partition(read):
    for name in ("sm_80-causal", "sm_80-spills", "sm_90-full"):
        assert [(w.partition, w.warps) for w in read(name)[2]] == [("all warps", 4)]


def test_a_wait_that_is_tried_again_out_of_line_counts_once(read):
    for work in read("sm_100-specialised")[2]:
        tried = [i for i in work.iteration if i.opcode.startswith("SYNCS.PHASECHK")]
        again = [i for i in work.loop.instructions if i.opcode.startswith("SYNCS.PHASECHK")]
        assert len(again) == 2 * len(tried) > 0
        assert max(i.address for i in tried) < min(i.address for i in set(again) - set(tried))


def test_spills_are_seen_in_the_loop(read):
    counted = Counter(classify(i) for i in read("sm_80-spills")[2][0].iteration)
    assert counted["spill"] > 0
    assert not any(classify(i) == "spill" for i in read("sm_90-full")[2][0].iteration)


def test_every_instruction_of_the_golden_listings_has_a_class(golden, read):
    assert {i.opcode for i in read(golden)[0].instructions if classify(i) == "other"} == set()


def test_the_class_table_names_each_opcode_once_and_each_class_has_a_pipe():
    stems = Counter(stem for names in STEMS.values() for stem in names.split())
    assert [stem for stem, count in stems.items() if count > 1] == []
    assert set(STEMS) <= set(PIPES)


@pytest.mark.parametrize(
    ("opcode", "expected"),
    [
        ("WARPGROUP.DEPBAR.LE", "wait"),
        ("WARPGROUP.ARRIVE", "sync"),
        ("SYNCS.PHASECHK.TRANS64.TRYWAIT", "wait"),
        ("SYNCS.EXCH.64", "sync"),
        ("IMAD.MOV.U32", "move"),
        ("IMAD.WIDE.U32", "multiply-add int"),
        ("UIADD3.64", "uniform"),
        ("LDCU.64", "uniform"),
        ("FFMA2", "ffma"),
        ("UTCHMMA", "tensor"),
        ("BRANDNEW.OP", "other"),
    ],
)
def test_the_longest_prefix_decides_the_class(opcode, expected):
    assert classify(Instruction(0, opcode)) == expected


@pytest.mark.parametrize(
    ("opcode", "macs"),
    [
        ("HMMA.16816.F32.BF16", 2048),
        ("HMMA.1688.F32.TF32", 1024),
        ("QMMA.16832.F32.E4M3.E4M3", 4096),
        ("HGMMA.64x128x16.F32.BF16", 64 * 128 * 16 // 4),
        ("HMMA.UNKNOWN", None),
    ],
)
def test_products_are_counted_by_their_shape(opcode, macs):
    assert warp_macs(Instruction(0, opcode)) == macs


def test_a_tcgen05_shape_comes_from_the_constant_that_reaches_it(read):
    _, graph, works = read("sm_100-specialised")
    shapes = {cta_macs(i, graph) for i in works[0].products}
    assert shapes <= {128 * 32 * 16, 128 * 64 * 16}
    assert {tensor_class(i) for i in works[0].products} == {"tcgen05"}


def test_a_tcgen05_shape_that_is_computed_is_not_guessed(read):
    listing = read("sm_100-specialised")[0]
    computed = tuple(
        replace(i, opcode="UIADD3", operands=i.operands + ", URZ") if i.stem == "UMOV" else i
        for i in listing.instructions
    )
    graph = control_flow.graph(sass.Listing(listing.name, computed, listing.labels))
    works = main_loops(graph, 12)
    assert works[0].products
    assert works[0].macs is None
