"""Which kernels are compiled: those of this checkout, or those of another folder."""

import shutil
from pathlib import Path

import pytest

from attnbench.bench.codegen.sources import project_recipes

ROOT = Path(__file__).parents[3]
PLANTED = '\n_TABLE["forward", 80, 64] = (Config(32, 64, 4, 2, reason="planted"),)\n'


def tiles(root=None):
    recipes = project_recipes("triton_fused", ["sm_80"], [64], ["bf16"], [True], root)
    return {recipe.config: recipe.note for recipe in recipes}["forward-d64-causal-bf16"]


@pytest.mark.parametrize("old", [False, True], ids=["imports attnbench.impls", "imports impls"])
def test_kernels_of_another_folder_are_read_from_there(tmp_path, old):
    kernels = Path(shutil.copytree(ROOT / "impls", tmp_path / "impls")) / "triton_kernels"
    with (kernels / "configs.py").open("a") as file:
        file.write(PLANTED)
    for path in kernels.glob("*.py") if old else ():
        path.write_text(path.read_text().replace("from attnbench.impls", "from impls"))
    assert tiles() == "128x128, 8 warps, 2 stages"
    assert tiles(str(tmp_path)) == "32x64, 4 warps, 2 stages"
