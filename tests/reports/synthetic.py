"""Runs that nobody measured: plausible ones, nasty ones and very large ones, built through the real types."""

import math
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path

from attnbench.bench.records.schema import (
    Agreement,
    Check,
    Comparison,
    Conditions,
    Environment,
    Header,
    KnownLimit,
    Measurement,
    Record,
    Run,
    Status,
    as_json,
    real,
)
from attnbench.impls.contract import Case, Causal, Full, Mask, Packed, Window, cost

NASTY = "</script><script>alert(1)</script>"
FAMILIES = ("normal", "large_scores", "one_hot", "poison")
MACHINE = "Example CPU (made-up numbers)"

Fault = Callable[[Case, str], tuple[Status, str] | None] | None


@dataclass(frozen=True)
class Speed:
    """A made-up implementation: overhead, arithmetic rate, and whether it holds the score matrix."""

    name: str
    overhead_ns: float
    gflop_s: float
    score_passes: float = 0.0


SPEEDS = (
    Speed("additive_mask", 45_000, 150, 4),
    Speed("masked_fill", 40_000, 170, 5),
    Speed("softmax_then_mask", 42_000, 165, 7),
    Speed("sdpa_math", 36_000, 190, 2),
    Speed("sdpa_flash", 250_000, 330),
    Speed("flex_compiled", 900_000, 345),
    Speed("per_head_loop", 30_000, 140, 5),
    Speed("triton_flash2", 0, 0),
)


def environment(name: str = MACHINE, *, device: str = "cpu", commit: str = "0123456789abcdef") -> Environment:
    """A machine; its name is part of the fingerprint."""
    return Environment(
        device=device,
        device_name=name,
        must_match={"cpu": name, "cores": "16", "torch": "2.13.0", "python": "3.11.2"},
        informational={"host": "example-host", "load": "0.3"},
        commit=commit,
    )


def header(
    cases: Iterable[Case],
    names: Iterable[str],
    *,
    machine: Environment | None = None,
    created: str = "2026-03-02T09:30:00+00:00",
    sweep: str = "quick",
    seed: int = 0,
) -> Header:
    """A header for the product of `cases` and `names`."""
    return Header(
        created=created,
        sweep=sweep,
        cases=tuple(dict.fromkeys(case.id for case in cases)),
        implementations=tuple(names),
        seed=seed,
        environment=machine or environment(),
        command=f"python -m bench run --sweep {sweep}",
    )


def model_cases(lengths: Iterable[int] = (128, 256, 512, 1024, 2048, 4096)) -> list[Case]:
    """Shapes of real models: prefill, decode, one window, one packed batch, one backward."""
    lengths = list(lengths)
    models = ((32, 8, 128), (32, 32, 128), (28, 4, 128), (12, 12, 64))
    found: list[Case] = []
    for (heads, kv_heads, dim), dtype, mask in product(models, ("bf16", "fp32"), (Causal(), Full())):
        found += [shape(heads, kv_heads, dim, n, n, dtype=dtype, mask=mask) for n in lengths]
    for (heads, kv_heads, dim), n in product(models[:3], lengths):
        found.append(shape(heads, kv_heads, dim, 1, n, dtype="bf16", mask=Causal()))
    for n in lengths[2:]:
        found.append(shape(32, 8, 128, n, n, dtype="bf16", mask=Window(255, 0)))
        found.append(
            shape(
                32,
                8,
                128,
                n,
                n,
                dtype="bf16",
                mask=Causal(),
                layout=Packed((n // 2, n // 4, n // 4), (n // 2, n // 4, n // 4)),
            )
        )
        found.append(shape(12, 12, 64, n, n, dtype="fp32", mask=Causal(), direction="fwd+bwd"))
    return found


def shape(heads: int, kv_heads: int, dim: int, q_len: int, kv_len: int, **fields: object) -> Case:
    """A case with equal head dimensions."""
    return Case(
        q_heads=heads, kv_heads=kv_heads, q_len=q_len, kv_len=kv_len, head_dim=dim, v_head_dim=dim, **fields
    )  # type: ignore[arg-type]


def comparison(
    rng: random.Random, case: Case, family: str, *, share: float | None = None, output: str = "out"
) -> Comparison:
    """One comparison whose error is `share` of its budget."""
    budget = {"fp32": 2e-6, "bf16": 1.6e-2, "fp16": 2e-3}[case.dtype]
    share = rng.uniform(0.05, 0.7) if share is None else share
    error = math.nan if math.isnan(share) else share * budget
    got = rng.gauss(0, 1)
    return Comparison(
        output=output,
        family=family,
        max_error=real(error),
        max_budget=budget,
        l2_error=real(error / 3),
        l2_budget=budget,
        worst_index=(0, rng.randrange(case.q_heads), rng.randrange(case.q_len), rng.randrange(case.head_dim)),
        expected=got,
        got=real(math.nan if math.isnan(share) else got + error),
        finite=not math.isnan(share),
        judged=case.q_len * case.head_dim,
        outside=0 if share <= 1 else 17,
        hint="" if share <= 1 else "looks like the mask of a square top-left causal form",
    )


def agreement(rng: random.Random, case: Case, share: float | None = None) -> Agreement:
    """An agreement that is ok, or one whose `large_scores` family fails by `share`."""
    comparisons = [comparison(rng, case, family) for family in FAMILIES[:3]]
    comparisons.append(comparison(rng, case, "poison", share=math.nan))
    if share is not None:
        comparisons[1] = comparison(rng, case, "large_scores", share=share)
    return Agreement(
        comparisons=tuple(comparisons),
        checks=(Check(name="inputs unchanged", ok=True), Check(name="batch invariant", ok=False, required=False)),
        known_limits=(KnownLimit(family="poison", reason="weight 0 times NaN is NaN", seen=True),),
    )


def measurement(
    rng: random.Random, case: Case, speed: Speed, *, samples: int = 21, factor: float = 1.0
) -> Measurement:
    """Samples around what `speed` would take, with the right tail that real ones have."""
    exact = cost(case)
    compute_ns = exact.flops / speed.gflop_s if speed.gflop_s else 0.0
    dense = exact.flops * (case.q_len * case.kv_len * case.batch / max(exact.pairs, 1))
    if speed.score_passes:
        compute_ns = dense / speed.gflop_s + speed.score_passes * exact.score_bytes / 20
    middle = factor * (speed.overhead_ns + compute_ns + exact.minimal_bytes / 25)
    noise = 0.01 + 0.03 * rng.random()
    taken = tuple(round(middle * (1 + abs(rng.gauss(0, noise)) + 0.002 * rng.random()), 1) for _ in range(samples))
    return Measurement(
        samples_ns=taken,
        calls=max(1, int(1e6 / middle)),
        warmup_ns=taken[:2],
        first_call_ns=round(
            middle * (4 if speed.name != "flex_compiled" else 1) + (3.1e9 if speed.name == "flex_compiled" else 0),
            0,
        ),
        clock="perf_counter",
        cache="warm",
        threads=16,
        peak_bytes=exact.input_bytes + int(speed.score_passes and 2 * exact.score_bytes),
        stopped="interval" if noise < 0.03 else "budget",
    )


def record(rng: random.Random, case: Case, speed: Speed, fault: Fault | None = None, **timing: object) -> Record:
    """A record that passes, or ends as `fault` says."""
    verdict = fault(case, speed.name) if fault else None
    if verdict is None:
        timed = measurement(rng, case, speed, **timing) if speed.gflop_s else None
        notes = () if timed else ("checked in Triton's interpreter, not timed",)
        return Record(
            case=case,
            implementation=speed.name,
            status=Status.PASSED,
            agreement=agreement(rng, case),
            measurement=timed,
            notes=notes,
            wall_s=0.4,
        )
    status, reason = verdict
    wrong = agreement(rng, case, share=11.7) if status is Status.WRONG else None
    return Record(case=case, implementation=speed.name, status=status, reason=reason, agreement=wrong, wall_s=0.1)


def plausible_fault(case: Case, name: str) -> tuple[Status, str] | None:
    """The faults of a real sweep: features that are missing, one wrong form, one that needs too much."""
    if name == "sdpa_flash" and case.direction != "fwd":
        return Status.UNSUPPORTED, "does not do backward"
    if name == "flex_compiled" and (case.direction != "fwd" or "packed" in case.layout.spec):
        return Status.UNSUPPORTED, f"does not do {'backward' if case.direction != 'fwd' else 'packed'}"
    if name == "triton_flash2" and (case.dtype == "fp32" or case.q_len > 512):
        return (
            Status.UNSUPPORTED,
            "takes fp16, bf16, not fp32"
            if case.dtype == "fp32"
            else "too slow in the interpreter beyond 512 queries",
        )
    if name == "softmax_then_mask" and isinstance(case.mask, Window):
        return Status.WRONG, "out differs on large_scores: error 11.7 times its budget at (0, 3, 17, 5)"
    if name == "per_head_loop" and case.q_len > 2048 and case.dtype == "fp32":
        return Status.TIMEOUT, "no answer within 60 s"
    if name == "softmax_then_mask" and case.q_len > 2048 and case.direction != "fwd":
        return Status.OUT_OF_MEMORY, "needs 12.9 GiB, 8.0 GiB were free"
    return None


def plausible(
    seed: int = 0,
    *,
    factor: float = 1.0,
    cases: list[Case] | None = None,
    speeds: Iterable[Speed] = SPEEDS,
    fault: Fault = plausible_fault,
    samples: int = 21,
    **head: object,
) -> Run:
    """A run as `quick` would leave it; `factor` slows ``sdpa_flash`` down (for a baseline)."""
    rng = random.Random(seed)
    cases, speeds = model_cases() if cases is None else cases, tuple(speeds)
    records = tuple(
        record(rng, case, speed, fault, samples=samples, factor=factor if speed.name == "sdpa_flash" else 1.0)
        for case, speed in product(cases, speeds)
    )
    return Run(
        header=header(cases, [speed.name for speed in speeds], **head), records=records, path=f"runs/example-{seed}"
    )


def nasty() -> Run:
    """Every status, hostile names and words everywhere, NaN errors, no samples, damage, a missing record."""
    rng = random.Random(1)
    case, other = shape(4, 2, 64, 128, 128, dtype="bf16", mask=Causal()), shape(4, 4, 40, 7, 65, mask=Full())
    reason = f"{NASTY} `ticks` | pipes\nnew line \u202e\x00 é" + "x" * 3000
    records = [
        Record(case=case, implementation=f"{NASTY}{status.value}", status=status, reason=reason)
        for status in Status
        if status is not Status.PASSED
    ]
    records += [
        record(rng, case, Speed(NASTY, 1000, 100)),
        record(rng, other, Speed("[bold]rich[/bold]", 1000, 100)),
        record(rng, other, Speed("=cmd|' /C calc'!A1", 1000, 100)),
        Record(
            case=other,
            implementation="not finite",
            status=Status.WRONG,
            reason="not finite",
            agreement=agreement(rng, other, share=math.nan),
        ),
        Record(
            case=other,
            implementation="no samples",
            status=Status.PASSED,
            agreement=agreement(rng, other),
            measurement=Measurement(samples_ns=(), calls=1, clock="perf_counter", cache="warm"),
            notes=(NASTY,),
        ),
        Record(
            case=other,
            implementation="one sample",
            status=Status.PASSED,
            agreement=agreement(rng, other),
            measurement=Measurement(samples_ns=(0.0,), calls=1, clock="perf_counter", cache="warm"),
            conditions=Conditions(before={}, after={}, disturbance=NASTY),
            notes=(f"disturbed: {NASTY}",),
        ),
        Record(case=other, implementation="unchecked", status=Status.PASSED, agreement=Agreement(comparisons=())),
    ]
    names = [record.implementation for record in records] + ["never ran"]
    head = header([case, other], names, machine=environment(NASTY), sweep=NASTY)
    return Run(header=head, records=tuple(records), damaged=(f"line 7: {NASTY}",), path=f"/tmp/{NASTY}")


def empty() -> Run:
    """A header and nothing else."""
    return Run(header=header(model_cases()[:2], ["sdpa_math"]), records=(), path="runs/empty")


def cuda(*, factor: float = 1.0, fault: Fault = plausible_fault) -> Run:
    """A run on a GPU that nobody has: one implementation is right, one wrong."""
    case = shape(32, 8, 128, 512, 512, dtype="bf16", mask=Window(255, 0))
    machine = environment("Example GPU (made-up numbers)", device="cuda")
    return plausible(
        cases=[case], speeds=(SPEEDS[2], SPEEDS[4]), machine=machine, factor=factor, fault=fault, samples=21
    )


FIGURES = tuple(
    digits * 10.0**power
    for power in range(13)
    for digits in (0.123456, 0.9994999, 0.9995, 0.99951, 1.0, 1.004999, 1.125, 1.2349996, 1.375, 3.21)
)
"""Where a number's form changes, halves between two forms, and numbers beside them."""


def figures() -> Run:
    """A record for each of :data:`FIGURES`, as its times, its memory and its error."""
    rng, base = random.Random(2), shape(4, 2, 64, 128, 128, dtype="bf16", mask=Causal())
    records = []
    for place, figure in enumerate(FIGURES):
        measured = Measurement(
            samples_ns=(figure,),
            calls=1,
            first_call_ns=figure * 1.01,
            clock="perf_counter",
            cache="warm",
            peak_bytes=round(figure),
        )
        judged = Agreement(comparisons=(comparison(rng, base, "normal", share=min(1.0, figure / 10.0**12)),))
        record = Record(
            case=base,
            implementation=f"number {place}",
            status=Status.PASSED,
            agreement=judged,
            measurement=measured,
        )
        records.append(record)
    head = header([base], [record.implementation for record in records])
    return Run(header=head, records=tuple(records), path="runs/figures")


def single() -> Run:
    """One record."""
    case = model_cases()[0]
    return plausible(cases=[case], speeds=SPEEDS[:1])


def all_wrong() -> Run:
    """Nothing that may be used."""
    return plausible(cases=model_cases()[:6], speeds=SPEEDS[:3], fault=lambda *_: (Status.WRONG, "out differs"))


def _many_cases() -> Iterator[Case]:
    lengths = (64, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048)
    masks: tuple[Mask, ...] = (Causal(), Full(), Window(127, 0))
    heads = ((32, 8), (32, 32), (28, 4), (12, 12), (16, 1))
    for batch, dtype, dim, mask, (q, kv), n in product(
        range(1, 99), ("bf16", "fp32"), (64, 128), masks, heads, lengths
    ):
        yield shape(q, kv, dim, n, n, dtype=dtype, mask=mask, batch=batch)


def large(records: int, *, samples: int = 21) -> Run:
    """`records` records of eight implementations."""
    cases = list(islice(_many_cases(), -(-records // len(SPEEDS))))
    run = plausible(cases=cases, samples=samples)
    return Run(header=run.header, records=run.records[:records], path="runs/large")


def write(run: Run, folder: Path) -> Path:
    """`run` as its file; what is stored is what a reader sees."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "run.jsonl"
    file.write_bytes(b"\n".join(as_json(line) for line in (run.header, *run.records)) + b"\n")
    return file


def golden() -> Run:
    """What ``tests/data/golden-run`` holds."""
    return plausible(seed=7, cases=model_cases((128, 512, 1024, 2048)), samples=9)


if __name__ == "__main__":
    write(golden(), Path(__file__).parents[1] / "data" / "golden-run")
