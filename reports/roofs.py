"""The ceilings of a roofline: peaks that a run measured on its machine, and published ones."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from attnbench.bench.records.peaks import published_for
from attnbench.bench.records.schema import Peaks, Run
from attnbench.reports.text import plain


@dataclass(frozen=True, kw_only=True)
class Roof:
    """A ceiling of one run's machine for one dtype: `tflop_s` and `gb_s`, and who says so."""

    run_index: int
    label: str
    dtype: str
    tflop_s: float
    gb_s: float


def roofs(runs: Sequence[Run]) -> list[Roof]:
    """Ceilings of the machines of `runs` for the dtypes that they timed; empty where nothing is known of any."""
    return [roof for index, run in enumerate(runs) for roof in _of(index, run)]


def _of(index: int, run: Run) -> Iterator[Roof]:
    timed = dict.fromkeys(record.case.dtype for record in run.records if record.measurement)
    for peaks in (run.header.peaks, published_for(run.header.environment.must_match)):
        if peaks is not None:
            known = (dtype for dtype in timed if peaks.flops_per_s.get(dtype) and peaks.bytes_per_s)
            yield from (_roof(index, peaks, dtype) for dtype in known)


def _roof(index: int, peaks: Peaks, dtype: str) -> Roof:
    return Roof(
        run_index=index,
        label=f"{plain(peaks.device)} in {dtype}, {plain(peaks.source)}",
        dtype=dtype,
        tflop_s=peaks.flops_per_s[dtype] / 1e12,
        gb_s=peaks.bytes_per_s / 1e9,
    )
