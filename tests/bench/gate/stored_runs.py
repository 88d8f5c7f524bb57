"""Small runs that nobody measured, built through the real types: one record of two, changed by what a test says."""

import msgspec

from attnbench.bench.records.schema import (
    Agreement,
    Comparison,
    Conditions,
    Environment,
    Header,
    Measurement,
    Record,
    Run,
    Status,
    as_json,
)
from attnbench.bench.records.store import RUN_FILE
from attnbench.impls.contract import parse_case

CASES = tuple(parse_case(f"b1-h2-s{n}-d8-causal-fp32") for n in (16, 32, 64))
NAMES = ("fast", "plain")
STEPS = (0.99, 1.0, 1.01, 1.0, 0.995, 1.005, 1.0, 1.002)


def environment(**hard):
    return Environment(
        device="cpu",
        device_name="Made-up CPU",
        must_match={"device": "cpu", "cpu": "Made-up CPU", "torch": "2.13.0", "threads": "1", "method": "abc"}
        | hard,
        informational={"host": "here", "kernel": "6.1"},
        commit="0123456789ab",
    )


def comparison(share=0.2, *, budget=1e-5, family="normal"):
    error = share * budget
    return Comparison(
        output="out", family=family, max_error=error, max_budget=budget, l2_error=error, l2_budget=budget,
        worst_index=(0, 0, 0, 0), expected=1.0, got=1.0 + error, finite=True, judged=64, outside=int(share > 1),
    )  # fmt: skip


def measurement(ns=1000.0, *, samples=8, **fields):
    taken = tuple(ns * STEPS[i % len(STEPS)] for i in range(samples))
    fields = {"clock": "perf_counter", "cache": "warm", "threads": 1, "peak_bytes": 1_000_000} | fields
    return Measurement(samples_ns=taken, calls=1, **fields)


def record(case=CASES[0], name="fast", *, status=Status.PASSED, share=0.2, disturbance="", seed=0, **fields):
    """A record that passed in 1000 ns, or ended as `status` says; `timing` are the fields of its measurement."""
    timing, comparisons = fields.pop("timing", {}), fields.pop("comparisons", None)
    probes = fields.pop("probes", ({}, {}))
    if status is Status.PASSED:
        fields.setdefault("agreement", Agreement(comparisons=comparisons or (comparison(share),)))
        if timing is not None:
            fields.setdefault("measurement", measurement(**timing))
            fields["conditions"] = Conditions(before=probes[0], after=probes[1], disturbance=disturbance)
    else:
        fields.setdefault("reason", f"because of {status}")
        if status is Status.WRONG:
            fields.setdefault("agreement", Agreement(comparisons=(comparison(7.0),)))
    return Record(case=case, implementation=name, status=status, seed=seed, **fields)


def run(*records, created="2026-03-02T09:30:00+00:00", machine=None, cases=CASES[:1], names=("fast",), seed=0):
    header = Header(
        created=created,
        sweep="made-up",
        cases=tuple(dict.fromkeys((*(case.id for case in cases), *(one.case.id for one in records)))),
        implementations=tuple(dict.fromkeys((*names, *(one.implementation for one in records)))),
        seed=seed,
        environment=machine or environment(),
    )
    return Run(header=header, records=records, path="runs/made-up")


def full(**changed):
    """A record for each case and name; `changed` are fields of those of ``fast``."""
    return run(
        *(record(case, name, **(changed if name == "fast" else {})) for case in CASES for name in NAMES),
        cases=CASES,
        names=NAMES,
    )


def write(made, folder):
    folder.mkdir(parents=True, exist_ok=True)
    lines = (made.header, *made.records)
    (folder / RUN_FILE).write_bytes(b"\n".join(map(as_json, lines)) + b"\n")
    return folder


def on(made, machine):
    """The same run on another machine."""
    return msgspec.structs.replace(made, header=msgspec.structs.replace(made.header, environment=machine))
