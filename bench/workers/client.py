"""Every request to a worker as a typed method; :class:`attnbench.bench.workers.server.Server` answers them.

No torch. No other module of the parent names a request, so that a type
checker sees each answer.
"""

from typing import TYPE_CHECKING, Any

from attnbench.bench.agreement.probed import Tried
from attnbench.bench.records.schema import Comparison, Environment, Peaks
from attnbench.bench.workers.answers import CheckAnswer, CloseAnswer, Description, OpenAnswer, Unnoticed, Unusable
from attnbench.impls.contract import Case

if TYPE_CHECKING:
    from attnbench.bench.registry.features import Row


class Requests:
    """Every request; each method raises WorkerFailure with what went wrong in the worker, or with how it ended.

    `timeout_s` is the time limit of that request; the worker's own without it.
    """

    def _ask(self, method: str, *arguments: object, timeout_s: float | None = None) -> Any:
        raise NotImplementedError

    def describe(self, names: tuple[str, ...], *, timeout_s: float | None = None) -> list[Description | Unusable]:
        """The implementations of these names; of all that there are without one."""
        answer: list[Description | Unusable] = self._ask("describe", names, timeout_s=timeout_s)
        return answer

    def supports(self, names: tuple[str, ...], case: Case) -> dict[str, str | None]:
        """Why each implementation can't do `case`; None where it can."""
        answer: dict[str, str | None] = self._ask("supports", names, case)
        return answer

    def refusals(self, name: str, cases: tuple[Case, ...]) -> list[str | None]:
        """For each of `cases` the reason why the implementation can't do it; None where it can."""
        answer: list[str | None] = self._ask("refusals", name, cases)
        return answer

    def features(self, names: tuple[str, ...]) -> "list[Row] | Unusable":
        """Whether each implementation does each feature, on a CPU, on CUDA and on the worker's device."""
        answer: list[Row] | Unusable = self._ask("features", names)
        return answer

    def conventions(self, seed: int) -> list[Tried]:
        """Which conventions the worker's implementation follows, found by trying them."""
        answer: list[Tried] = self._ask("conventions", seed)
        return answer

    def machine(self, *, timeout_s: float | None = None) -> dict[str, str] | Unusable:
        """Facts of the machine that need torch."""
        answer: dict[str, str] | Unusable = self._ask("machine", timeout_s=timeout_s)
        return answer

    def peaks(self, environment: Environment, dtypes: tuple[str, ...], *, again: bool) -> Peaks:
        """Peaks of the device, measured once for each environment, and once more with `again`."""
        answer: Peaks = self._ask("peaks", environment, dtypes, again)
        return answer

    def probe(self) -> dict[str, float]:
        """How long fixed pieces of work take on the CPU now, in microseconds."""
        answer: dict[str, float] = self._ask("probe")
        return answer

    def expect(self, case: Case, seed: int, families: tuple[str, ...]) -> None:
        """Have the reference of `case` computed, for the other workers to read."""
        self._ask("expect", case, seed, families)

    def audit(self, case: Case, seed: int, families: tuple[str, ...]) -> list[Unnoticed]:
        """Answers that are wrong in known ways and that `case` would pass."""
        answer: list[Unnoticed] = self._ask("audit", case, seed, families)
        return answer

    def check(
        self,
        case: Case,
        seed: int,
        families: tuple[str, ...],
        properties: tuple[str, ...] | None = None,
        *,
        thorough: bool = True,
    ) -> CheckAnswer:
        """Agreement of the worker's implementation on `case`; all properties where none are named.

        Without `thorough`, the comparisons and the side effects of one call alone.
        """
        answer: CheckAnswer = self._ask("check", case, seed, families, properties, thorough)
        return answer

    def open(self, case: Case, seed: int, spread_bytes: int = 0) -> OpenAnswer:
        """Prepare `case` for sampling; `spread_bytes` are taken first, so that tensors lie elsewhere."""
        answer: OpenAnswer = self._ask("open", case, seed, spread_bytes)
        return answer

    def sample(self) -> float:
        """One sample of the open case: nanoseconds a call."""
        return float(self._ask("sample"))

    def burst(self, count: int) -> tuple[float, ...]:
        """Times of `count` single calls of the open case in nanoseconds, after one untimed call."""
        answer: tuple[float, ...] = self._ask("burst", count)
        return answer

    def verify(self) -> Comparison:
        """Compare the output of the timed call with the reference once more."""
        answer: Comparison = self._ask("verify")
        return answer

    def close(self) -> CloseAnswer:
        """Check once more what was timed, measure its memory, and let go of it."""
        answer: CloseAnswer = self._ask("close")
        return answer
