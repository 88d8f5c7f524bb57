"""Runs as one data frame: a row for each record, with the figures that every report derives from it.

Times are nanoseconds, sizes bytes, rates TFLOP/s and GB/s.
"""

import math
from collections.abc import Sequence

import msgspec
import pandas as pd

from attnbench.bench.records.repeat import repeat_command
from attnbench.bench.records.schema import Agreement, Environment, Record, Run, Status
from attnbench.bench.records.store import frame
from attnbench.impls.contract import Case, Dense, cost

COLUMNS = (
    "run", "run_index", "fingerprint", "created", "device", "device_kind", "case", "implementation", "status",
    "reason", "phase", "mask", "mask_kind", "layout", "layout_kind", "batch", "q_heads", "kv_heads", "q_len",
    "kv_len", "head_dim", "v_head_dim", "dtype", "direction", "bias", "softcap", "sinks", "dropout", "strides",
    "gqa", "length", "series", "median_ns", "low_ns", "high_ns", "samples", "samples_ns", "first_call_ns",
    "peak_bytes", "saved_bytes", "host_ns", "energy_j", "disturbance", "clock", "pairs", "flops",
    "minimal_bytes", "intensity", "tflop_s", "gb_s", "worst_output",
    "worst_family", "worst_index", "expected", "got", "hint", "share_of_budget", "families", "limits", "failures", "seed",
    "notes", "command",
)  # fmt: skip

NOT_RUN = tuple(status.value for status in Status if status.is_refusal)
BROKEN = tuple(status.value for status in Status if status.is_failure and status is not Status.WRONG)


def table(runs: Sequence[Run]) -> pd.DataFrame:
    """Every record of `runs` with :data:`COLUMNS`; no run and no record are fine."""
    usable = [_without_hollow(run) for run in runs]
    base = frame(usable)
    more = pd.DataFrame([row for index, run in enumerate(usable) for row in _rows(index, run)])
    joined = pd.concat([base, more], axis="columns") if len(base) else pd.DataFrame()
    return joined.reindex(columns=list(COLUMNS))


def timed(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows that are right and have a time: the only ones that are ranked."""
    return rows[(rows["status"] == "PASSED") & rows["median_ns"].notna()]


def limits(rows: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Declared limits that were seen: for each implementation its families, each with the reason."""
    found: dict[str, dict[str, str]] = {}
    for name, seen in zip(rows["implementation"], rows["limits"], strict=True):
        if seen:
            found.setdefault(name, {}).update(seen)
    return found


def _without_hollow(run: Run) -> Run:
    """A measurement without samples, or of no time at all, measured nothing."""
    if not any(map(_hollow, run.records)):
        return run
    records = (
        msgspec.structs.replace(record, measurement=None) if _hollow(record) else record for record in run.records
    )
    return msgspec.structs.replace(run, records=tuple(records))


def _hollow(record: Record) -> bool:
    measured = record.measurement
    return measured is not None and not (measured.samples_ns and measured.median_ns > 0)


def _rows(index: int, run: Run) -> list[dict[str, object]]:
    environment, shapes = run.header.environment, {}
    fixed = {
        "run_index": index,
        "fingerprint": environment.fingerprint,
        "created": run.header.created,
        "device_kind": environment.device,
    }
    rows = []
    for record in run.records:
        if (case := record.case.id) not in shapes:
            shapes[case] = _shape(record.case)
        rows.append(fixed | shapes[case] | _outcome(record, environment))
    return rows


def _shape(case: Case) -> dict[str, object]:
    exact = cost(case)
    return {
        "mask_kind": case.mask.feature,
        "layout_kind": case.layout.feature,
        "length": max(case.q_len, case.kv_len),
        "series": series(case),
        "intensity": exact.intensity_flops_per_byte,
    }


def series(case: Case) -> str:
    """What is constant along a curve over the length: the case's id without that length."""
    heads = f"{case.q_heads} heads" if case.groups == 1 else f"{case.q_heads}/{case.kv_heads} heads"
    lengths = {"chunk": f"{case.q_len} queries", "cross": f"{case.kv_len} keys"}.get(case.phase, "")
    dims = str(case.head_dim) if case.head_dim == case.v_head_dim else f"{case.head_dim}/{case.v_head_dim}"
    parts = [
        f"{_mask_along(case)} {case.phase}",
        lengths,
        f"batch {case.batch}" if case.batch > 1 else "",
        f"{heads} of {dims}",
        case.dtype,
        case.direction if case.direction != "fwd" else "",
        "" if isinstance(case.layout, Dense) else case.layout.feature,
        f"softcap {case.softcap:g}" if case.softcap else "",
        f"scale {case.scale:g}" if case.scale else "",
        case.bias if case.bias != "none" else "",
        "sinks" if case.sinks else "",
        f"dropout {case.dropout:g}" if case.dropout else "",
        case.strides if case.strides != "bhmd" else "",
    ]
    return ", ".join(part for part in parts if part)


def _mask_along(case: Case) -> str:
    """A prefix's mask grows with the case; every other mask is the same along a curve."""
    return case.mask.feature if case.mask.feature == "prefix" else case.mask.spec


def _outcome(record: Record, environment: Environment) -> dict[str, object]:
    measured, agreement, exact = record.measurement, record.agreement, record.cost
    median = measured.median_ns if measured else math.nan
    return {
        "samples_ns": measured.samples_ns if measured else (),
        "gb_s": exact.minimal_bytes / median if measured and median else None,
        "saved_bytes": measured.saved_bytes if measured else None,
        "host_ns": measured.host_ns if measured else None,
        "energy_j": measured.energy_j if measured else None,
        "disturbance": record.conditions.disturbance if record.conditions else "",
        "seed": record.seed,
        "notes": record.notes,
        "command": repeat_command(record, environment),
        **_worst(agreement),
    }


def _worst(agreement: Agreement | None) -> dict[str, object]:
    worst = agreement.worst if agreement else None
    shares: dict[str, float] = {}
    for c in agreement.comparisons if agreement else ():
        shares[c.family] = max(shares.get(c.family, 0.0), _share(c.share_of_budget))
    failures = () if agreement is None else (
        *(f"{c.output} on {c.family}: {_share(c.share_of_budget):.3g} times the budget at {c.worst_index}"
          for c in agreement.failures[:3]),
        *(f"{check.name}: {check.detail or 'failed'}" for check in agreement.failed_checks[:3]),
    )  # fmt: skip
    return {
        "worst_index": worst.worst_index if worst else (),
        "expected": worst.expected if worst else None,
        "got": worst.got if worst else None,
        "hint": worst.hint if worst else "",
        "families": shares,
        "limits": {limit.family: limit.reason for limit in agreement.known_limits if limit.seen}
        if agreement
        else {},
        "failures": failures,
    }


def _share(value: float) -> float:
    """A share of a budget; what is not a number is beyond every budget."""
    return math.inf if math.isnan(value) else value
