"""A published worked example: causal weights of six tokens, d_k = 2, to four digits, for both mask forms.

The scores are published, the queries and keys are not: the scores are factored
into q and k of a wider head, with scale chosen so that q.k * scale is scores / sqrt(2).
V is the identity, so that the output is the weights.
"""

import pytest
import torch

from attnbench.bench.agreement.reference import reference
from attnbench.bench.registry.catalogue import find
from attnbench.impls.contract import Case, Causal, Inputs

SCORES = torch.tensor(
    [
        [0.0613, -0.3491, 0.1443, -0.0437, -0.1303, 0.1076],
        [-0.6004, 3.4707, -1.5023, 0.4991, 1.2903, -1.3374],
        [0.2432, -1.3934, 0.5869, -0.1851, -0.5191, 0.4730],
        [-0.0794, 0.4487, -0.1807, 0.0518, 0.1677, -0.1197],
        [-0.1510, 0.8626, -0.3597, 0.1112, 0.3216, -0.2787],
        [0.4344, -2.5037, 1.0740, -0.3509, -0.9315, 0.9265],
    ]
)
WEIGHTS = torch.tensor(
    [
        [1, 0, 0, 0, 0, 0],
        [0.0532, 0.9468, 0, 0, 0, 0],
        [0.3862, 0.1214, 0.4924, 0, 0, 0],
        [0.2232, 0.3242, 0.2078, 0.2449, 0, 0],
        [0.1536, 0.3145, 0.1325, 0.1849, 0.2145, 0],
        [0.1973, 0.0247, 0.3102, 0.1132, 0.0751, 0.2794],
    ]
)
CASE = Case(q_heads=1, kv_heads=1, q_len=6, kv_len=6, head_dim=6, v_head_dim=6, mask=Causal(), scale=2**-0.5)
INPUTS = Inputs(case=CASE, q=SCORES[None, None], k=torch.eye(6)[None, None], v=torch.eye(6)[None, None])


@pytest.mark.parametrize(
    "name", ["softmax_then_mask", "masked_fill", "additive_mask", "per_head_loop", "sdpa_flash"]
)
def test_an_implementation_gives_the_published_weights(name):
    assert torch.allclose(find(name).run(INPUTS).out[0, 0], WEIGHTS, atol=6e-5, rtol=0)


def test_the_oracle_gives_the_published_weights():
    assert torch.allclose(reference(INPUTS).out[0, 0].float(), WEIGHTS, atol=6e-5, rtol=0)
