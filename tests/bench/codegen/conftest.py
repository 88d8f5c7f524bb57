from pathlib import Path

import pytest

from attnbench.bench.codegen import control_flow, sass
from attnbench.bench.codegen.loops import main_loops

GOLDEN = Path(__file__).parents[2] / "data" / "sass"
WARPS = {"sm_80-causal": 4, "sm_80-spills": 4, "sm_90-full": 4, "sm_100-specialised": 12}


@pytest.fixture(params=WARPS)
def golden(request):
    return request.param


@pytest.fixture(scope="session")
def read():
    """The listing, the graph and the main loops of a golden disassembly."""

    def read(name):
        listing = sass.parse((GOLDEN / f"{name}.sass").read_text())
        graph = control_flow.graph(listing)
        return listing, graph, main_loops(graph, WARPS[name])

    return read


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setenv("ATTNBENCH_CODEGEN_CACHE", str(tmp_path_factory.mktemp("codegen")))
    yield
    patch.undo()
