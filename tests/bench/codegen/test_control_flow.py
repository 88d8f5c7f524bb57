import pytest

from attnbench.bench.codegen import control_flow, sass

HEAD = '\t.section\t.text.kernel,"ax",@progbits\n'


def listing(*lines):
    """A disassembly of these lines; a line that ends in a colon is a label."""
    text, address = HEAD, 0
    for line in lines:
        if line.endswith(":"):
            text += f"{line}\n"
        else:
            text += f"        /*{address:04x}*/                   {line} ;\n"
            address += 16
    return sass.parse(text)


def loops(*lines):
    return [[i.text for i in loop.instructions] for loop in control_flow.graph(listing(*lines)).loops]


def test_a_loop_is_found_with_its_block_that_was_moved_out_of_line():
    found = loops(
        "MOV R0, RZ",
        ".L_x_0:",
        "SYNCS.PHASECHK.TRANS64.TRYWAIT P0, [UR4], R0",
        "@!P0 BRA `(.L_x_2)",
        ".L_x_1:",
        "HMMA.16816.F32.BF16 R4, R8, R12, R4",
        "@P1 BRA `(.L_x_0)",
        "EXIT",
        ".L_x_2:",
        "FADD R0, R0, R0",
        "BRA `(.L_x_1)",
    )
    assert len(found) == 1
    assert "FADD R0, R0, R0" in found[0]
    assert "EXIT" not in found[0]
    assert "MOV R0, RZ" not in found[0]


def test_a_backward_jump_into_the_middle_of_code_that_another_path_enters_is_no_natural_loop():
    assert loops("@P0 BRA `(.L_x_1)", ".L_x_0:", "FADD R0, R0, R0", ".L_x_1:", "@P1 BRA `(.L_x_0)", "EXIT") == []


def test_unreachable_code_makes_no_loop():
    assert loops("EXIT", ".L_x_0:", "FADD R0, R0, R0", "BRA `(.L_x_0)") == []


def test_a_barrier_register_used_twice_joins_each_branch_where_it_belongs():
    found = loops(
        ".L_x_0:",
        "BSSY B0, `(.L_x_1)",
        "@P0 BRA `(.L_x_5)",
        "FADD R0, R0, R0",
        ".L_x_5:",
        "BSYNC B0",
        ".L_x_1:",
        "HMMA.16816.F32.BF16 R4, R8, R12, R4",
        "BSSY B0, `(.L_x_2)",
        "@P0 BRA `(.L_x_6)",
        "FMUL R0, R0, R0",
        ".L_x_6:",
        "BSYNC B0",
        ".L_x_2:",
        "@P1 BRA `(.L_x_0)",
        "EXIT",
    )
    assert len(found) == 1, "joining the second branch at the first one's end would make a loop inside"
    assert len(found[0]) == 10


def test_a_barrier_that_is_set_anew_no_longer_leads_to_its_first_target():
    edges = control_flow.graph(
        listing("BSSY B0, `(.L_x_1)", "BSSY B0, `(.L_x_2)", "BSYNC B0", ".L_x_1:", "EXIT", ".L_x_2:", "EXIT")
    ).edges
    assert list(edges.successors(0)) == [4]


def test_a_call_to_a_local_label_leaves_the_loop():
    graph = control_flow.graph(
        listing(".L_x_0:", "FADD R0, R0, R0", "@P3 CALL.REL.NOINC `(.L_x_1)", "BRA `(.L_x_0)", ".L_x_1:", "EXIT")
    )
    assert graph.edges.has_edge(0, 3)
    assert [len(loop.instructions) for loop in graph.loops] == [3]


def test_a_call_of_a_routine_returns():
    assert loops(".L_x_0:", "CALL.REL.NOINC `($__internal_0_$div)", "@P0 BRA `(.L_x_0)", "EXIT") == [
        ["CALL.REL.NOINC `($__internal_0_$div)", "@P0 BRA `(.L_x_0)"]
    ]


def test_a_uniform_guard_may_not_hold():
    assert len(loops(".L_x_0:", "FADD R0, R0, R0", "BRA.U UP0, `(.L_x_0)", "EXIT")) == 1
    edges = control_flow.graph(listing(".L_x_0:", "BRA.U UP0, `(.L_x_0)", "EXIT")).edges
    assert edges.has_edge(0, 1)


def test_a_branch_table_reaches_all_of_its_targets():
    table = 'BRX R2 -0x1c0 (*"BRANCH_TARGETS .L_x_1,.L_x_2"*)'
    edges = control_flow.graph(listing(table, ".L_x_1:", "EXIT", ".L_x_2:", "EXIT")).edges
    assert set(edges.successors(0)) == {1, 2}


def test_a_label_that_is_not_there_is_named():
    with pytest.raises(sass.ListingError, match=r"\.L_x_9"):
        loops("BRA `(.L_x_9)", "EXIT")


def test_an_empty_or_double_disassembly_is_refused():
    with pytest.raises(sass.ListingError, match="0 .text sections"):
        sass.parse("nothing")
    with pytest.raises(sass.ListingError, match="no instruction"):
        sass.parse(HEAD)
    with pytest.raises(sass.ListingError, match="2 .text sections"):
        sass.parse(HEAD + HEAD.replace("kernel", "other"))


def test_golden_listings_are_read_whole(golden, read):
    found, graph, _ = read(golden)
    addresses = [i.address for i in found.instructions]
    assert addresses == list(range(0, addresses[-1] + 16, 16)), "an instruction was missed"
    assert sum(len(block.instructions) for block in graph.blocks.values()) == len(addresses)
    assert {i.file for i in found.instructions if i.file} <= {"plain_flash.py", "standard.py"}
    assert all(i.line for i in found.instructions if i.file)
