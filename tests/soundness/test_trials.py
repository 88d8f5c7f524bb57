"""A slice of ``python -m tests.soundness.trials``: rates hold, and a rule that breaks them is told."""

from dataclasses import replace

import pytest

from attnbench.bench.gate.stats import RULE
from tests.soundness.noises import NOISES
from tests.soundness.sweeps import run
from tests.soundness.trials import EFFECTS, exceeded, simulate, weak

NORMAL = NOISES[0]


def test_a_slice_of_every_noise_holds_the_nominal_rates_and_finds_what_it_must():
    cells = simulate(seeds=1, experiments=2000)
    assert len(cells) == len(NOISES) * len(EFFECTS)
    assert [*exceeded(cells), *weak(cells)] == []


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (replace(RULE, alpha=0.2), "+1%: REGRESSED"),
        (replace(RULE, alpha=0.2, beta=1e-6, least_sd=1e-9), "+1%: REGRESSED"),
        (replace(RULE, beta=0.4), "+2.5%: UNCHANGED"),
        (replace(RULE, slower=0.001), "+1%: REGRESSED"),
    ],
)
def test_a_rule_that_breaks_its_rates_is_told(broken, told):
    cells = simulate(seeds=1, experiments=4000, rule=broken, noises=(NORMAL, *NOISES[6:7]))
    assert any(told in sentence for sentence in exceeded(cells, RULE))


def test_a_rule_that_finds_nothing_is_told():
    assert list(weak(simulate(seeds=1, experiments=1000, noises=(NORMAL,), rule=replace(RULE, alpha=1e-9))))


def test_a_sweep_finds_three_slow_cases_and_no_other():
    kind = run(NORMAL, "3 at +3%", (3, 3, 3), 20, seeds=1)
    assert kind.false == 0
    assert kind.share(3, "REGRESSED") == 1
    assert kind.share(0, "UNCHANGED") > 0.99
