"""The oracle with wider budgets, for an implementation that declares itself an approximation."""

from collections.abc import Callable
from dataclasses import fields, replace

from attnbench.bench.agreement.oracle import Expectation, Oracle, Target
from attnbench.impls.contract import Case


class Relaxed(Oracle):
    """The expectations of `oracle`, each budget `factor` times as wide."""

    def __init__(self, oracle: Oracle, factor: float) -> None:
        super().__init__(oracle.folder, oracle.device)
        self.oracle, self.factor = oracle, factor

    def expect(self, case: Case, family: str, seed: int) -> Expectation:
        """What `case` must give, within the wider budgets."""
        return self._widened(self.oracle.expect(case, family, seed))

    def once(self, name: str, compute: Callable[[], Expectation]) -> Expectation:
        """The expectation called `name`, within the wider budgets: what properties are judged by."""
        return self._widened(self.oracle.once(name, compute))

    def _widened(self, found: Expectation) -> Expectation:
        return replace(found, targets={name: self._wider(target) for name, target in found.targets.items()})

    def _wider(self, target: Target) -> Target:
        budgets = [field.name for field in fields(target) if "budget" in field.name]
        return replace(target, **{name: self.factor * getattr(target, name) for name in budgets})


def relaxed(oracle: Oracle, factor: float) -> Oracle:
    """`oracle` itself where `factor` is 1."""
    return oracle if factor == 1 else Relaxed(oracle, factor)
