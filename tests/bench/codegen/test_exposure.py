import pytest

from attnbench.bench.codegen.exposure import exposed_share, issue_cycles, serialised
from attnbench.bench.codegen.pipes import pipe_cycles
from attnbench.bench.codegen.sass import Instruction
from attnbench.bench.codegen.target import find

SM_90 = find("sm_90")
PRODUCT = "HGMMA.64x128x16.F32.BF16 R24, gdesc[UR12], R24"
COMMIT = f"{PRODUCT}, gsb0"
WAIT_ALL = "WARPGROUP.DEPBAR.LE gsb0, 0x0"
WAIT_ONE = "WARPGROUP.DEPBAR.LE gsb0, 0x1"
SOFTMAX = "MUFU.EX2 R0, R0"


def iteration(*lines):
    return tuple(Instruction(16 * at, *line.split(" ", 1)) for at, line in enumerate(lines))


@pytest.mark.parametrize(
    ("lines", "share"),
    [
        ((COMMIT, WAIT_ALL, SOFTMAX, SOFTMAX), 1.0),
        ((COMMIT, SOFTMAX, WAIT_ALL, SOFTMAX), 0.5),
        ((PRODUCT, SOFTMAX, COMMIT, WAIT_ALL), 0.0),
        ((COMMIT, COMMIT, WAIT_ONE, SOFTMAX, WAIT_ALL, SOFTMAX), 0.5),
        ((SOFTMAX, WAIT_ALL, SOFTMAX, COMMIT), 0.5),
    ],
    ids=["waits first", "half under it", "not committed yet", "one group left open", "from the iteration before"],
)
def test_softmax_under_a_product_in_flight_is_not_exposed(lines, share):
    assert exposed_share(iteration(*lines), SM_90) == share


def test_without_wgmma_or_softmax_there_is_no_share():
    assert exposed_share(iteration("HMMA.16816.F32 R0, R0, R0, R0", SOFTMAX), SM_90) is None
    assert exposed_share(iteration(COMMIT, WAIT_ALL), SM_90) is None


def test_a_wait_after_each_product_is_called_serialised():
    assert serialised(iteration(COMMIT, WAIT_ALL, COMMIT, WAIT_ALL, COMMIT, WAIT_ALL))
    assert not serialised(iteration(PRODUCT, PRODUCT, COMMIT, WAIT_ALL))
    assert not serialised(iteration(COMMIT, WAIT_ALL, COMMIT, WAIT_ALL)), "two products, QK and PV, may each be one"


def test_address_arithmetic_is_no_softmax():
    assert exposed_share(iteration(COMMIT, "IADD3 R0, R0, R0, RZ", SOFTMAX, WAIT_ALL), SM_90) == 0.0


def test_plain_triton_is_exposed_as_published(read):
    share = exposed_share(read("sm_90-full")[2][0].iteration, SM_90)
    assert 0.94 <= share <= 1.0, "plain Triton on sm_90 is published with .96"


def test_cycles_follow_the_published_throughputs():
    exp, add, unknown = iteration(SOFTMAX, "FADD R0, R0, R0", "UIADD3 UR4, UR4, 0x1, URZ")
    assert issue_cycles(exp, SM_90) == 32 / 16
    assert issue_cycles(add, SM_90) == 32 / 128
    assert issue_cycles(add, find("sm_80")) == 32 / 64
    assert issue_cycles(unknown, SM_90) == 0.0


def test_pipe_cycles_count_all_warps_of_the_turn(read):
    works = read("sm_90-full")[2]
    cycles = pipe_cycles(works, SM_90)
    exps = sum(i.stem == "MUFU" for i in works[0].iteration)
    assert cycles["xu"] >= exps * 4 * 2.0
    assert cycles["tensor"] == works[0].macs / 2048
