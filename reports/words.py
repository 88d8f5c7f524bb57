"""The sentences at the top: what was compared, what is wrong, what to use, what was not run, how far to trust it.

Plain text; a name in `backticks` is code. What comes from outside goes through
:func:`code`, so that it can't close its own quotes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

import pandas as pd

from bench.records.schema import Run
from reports.choices import Choice, choices, default_reference
from reports.compare import COARSE, VERDICTS, compare, differences
from reports.data import BROKEN, NOT_RUN, table, timed
from reports.units import count, digits, interval, length, listed, show

WIDE = 0.05
"""Half an interval over the median, above which a timing counts as disturbed."""
FEW = 6
"""Below six samples even the whole range is no 95% interval of the median."""
LONGEST_REASON = 240


@dataclass(frozen=True, kw_only=True)
class Paragraph:
    """A heading and its sentences; `bad` where a reader must not overlook it."""

    title: str
    lines: tuple[str, ...]
    bad: bool = False


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Everything said at the top, with the frame and the choices that it was said from."""

    paragraphs: tuple[Paragraph, ...]
    rows: pd.DataFrame
    choices: tuple[Choice, ...]
    reference: str | None


def summary(
    runs: Sequence[Run], *, baseline: Run | None = None, reference_implementation: str | None = None
) -> Summary:
    """The words of `runs`; a `reference_implementation` that none of them has is a ValueError with the names there are."""
    rows = table(runs)
    order = list(dict.fromkeys(name for run in runs for name in run.header.implementations))
    reference = reference_implementation or default_reference(rows, order)
    if reference_implementation and reference_implementation not in set(rows["implementation"]):
        known = ", ".join(order) or "none"
        raise ValueError(f"no record of {reference_implementation!r}; the implementations are: {known}")
    chosen = tuple(choices(rows, reference))
    paragraphs = (
        Paragraph(title="Compared", lines=tuple(_compared(run) for run in runs) or ("No run was given.",)),
        _wrong(rows),
        Paragraph(title="Use", lines=tuple(_use(rows, chosen, runs))),
        Paragraph(title="Not run", lines=tuple(_not_run(rows, runs))),
        Paragraph(title="Trust", lines=tuple(_trust(rows, runs))),
        *([_against(runs, baseline)] if baseline and runs else []),
    )
    return Summary(paragraphs=paragraphs, rows=rows, choices=chosen, reference=reference)


def code(text: str) -> str:
    """`text` between backticks, on one line, without backticks of its own."""
    return f"`{plain(text)}`"


def plain(text: str) -> str:
    """`text` on one line, without backticks or characters that can't be seen, cut where it is very long."""
    seen = "".join(c if c.isprintable() else " " for c in text.replace("`", "'"))
    seen = " ".join(seen.split())
    return seen if len(seen) <= LONGEST_REASON else f"{seen[:LONGEST_REASON]}…"


def _compared(run: Run) -> str:
    header, machine = run.header, run.header.environment
    kept = {name: machine.hard[name] for name in ("torch", "triton", "cuda", "driver") if name in machine.hard}
    versions = ", ".join(f"{name} {plain(value)}" for name, value in kept.items())
    revision = f", revision {plain(machine.commit[:10])}{' with local changes' if machine.dirty else ''}"
    return (
        f"{count(len(header.implementations), 'implementation')} on {count(len(header.cases), 'case')} "
        f"(sweep {code(header.sweep)}, seed {header.seed}) on {plain(machine.device_name)} ({plain(machine.device)})"
        f"{', ' + versions if versions else ''}{revision if machine.commit else ''}, {plain(header.created)}."
    )


def _wrong(rows: pd.DataFrame) -> Paragraph:
    wrong, broken = rows[rows["status"] == "WRONG"], rows[rows["status"].isin(BROKEN)]
    judged = int((rows["status"].isin(["PASSED", "WRONG"])).sum())
    if wrong.empty and broken.empty:
        agrees = (
            f"Nothing: all {count(judged, 'checked record')} agree with the float64 oracle."
            if judged
            else "Nothing was checked, so nothing can be said."
        )
        return Paragraph(title="Wrong", lines=(agrees,), bad=not judged)
    lines = [f"{judged - len(wrong):,} of {count(judged, 'checked record')} agree with the float64 oracle."]
    lines += [_wrong_line(str(name), part, rows) for name, part in wrong.groupby("implementation", sort=False)]
    lines += [
        f"{code(name)} ended with {status} on {count(len(part), 'case')}: {plain(str(part['reason'].iloc[0]))}"
        for (name, status), part in broken.groupby(["implementation", "status"], sort=False)
    ]
    return Paragraph(title="Wrong", lines=tuple(lines), bad=True)


def _wrong_line(name: str, part: pd.DataFrame, rows: pd.DataFrame) -> str:
    tried = int(((rows["implementation"] == name) & rows["status"].isin(["PASSED", "WRONG"])).sum())
    worst = part.loc[part["share_of_budget"].fillna(-1).astype(float).idxmax()]
    where = (
        f", worst on {code(str(worst['case']))}: family {code(str(worst['worst_family']))}, "
        f"{_budget(worst['share_of_budget'])} at {tuple(worst['worst_index'])}"
        if pd.notna(worst["share_of_budget"])
        else f": {plain(str(worst['reason']))}"
    )
    hint = f" ({plain(str(worst['hint']))})" if worst["hint"] else ""
    return (
        f"{code(name)} disagrees on {len(part):,} of {count(tried, 'case')}{where}{hint}. "
        f"Repeat it: {code(str(worst['command']))}"
    )


def _budget(share: float) -> str:
    return "not finite" if share == float("inf") else f"error {digits(share)} times its budget"


def _use(rows: pd.DataFrame, chosen: Sequence[Choice], runs: Sequence[Run]) -> Iterable[str]:
    if not chosen:
        yield "Nothing to recommend: no record is both right and timed."
    for choice in chosen:
        machine = f"On {plain(_label(runs, choice.run_index))}: " if len(runs) > 1 else ""
        yield machine + sentence(choice)


def _label(runs: Sequence[Run], index: int) -> str:
    return f"{runs[index].header.environment.device_name}, {runs[index].header.created}"


def sentence(choice: Choice) -> str:
    """``causal prefill in bf16 from 1k on: use `a`, 3.1x faster than `b` (2.7x to 3.6x over 12 cases)``."""
    parts = [f"{situation(choice)} {lengths(choice)}: use {code(choice.implementation)}"]
    if choice.ties:
        parts.append(f"which ties with {listed([code(name) for name in choice.ties])}")
    if choice.speedup is not None and choice.reference not in choice.ties:
        assert choice.slowest is not None
        assert choice.fastest is not None
        several = (
            f" ({interval(choice.slowest, choice.fastest, 'ratio')} over {choice.cases} cases)"
            if choice.cases > 1
            else ""
        )
        faster = "faster" if choice.speedup >= 1 else "the speed, and yet the best that ran everywhere, against"
        than = " than " if choice.speedup >= 1 else " "
        parts.append(f"{show(choice.speedup, 'ratio')} {faster}{than}{code(choice.reference)}{several}")
    return f"{', '.join(parts)}."


def situation(choice: Choice) -> str:
    """``causal prefill in bf16 and fp32``, with the layout and direction where they are special."""
    layout = "" if choice.layout == "dense" else f"{choice.layout} "
    direction = {"fwd": "", "bwd": ", backward,", "fwd+bwd": ", forward and backward,"}[choice.direction]
    return f"{layout}{choice.mask} {choice.phase}{direction} in {listed(sorted(choice.dtypes))}"


def lengths(choice: Choice) -> str:
    """``up to 512``, ``from 1k on``, ``from 512 to 2k``, ``at 512``, ``at every length (128 to 4k)``."""
    low, high = length(choice.lengths[0]), length(choice.lengths[-1])
    if choice.first is None and choice.last is None:
        return f"at every length ({low} to {high})" if low != high else f"at {low}"
    if choice.first is None:
        return f"up to {high}"
    if choice.last is None:
        return f"from {low} on"
    return f"from {low} to {high}" if low != high else f"at {low}"


def _not_run(rows: pd.DataFrame, runs: Sequence[Run]) -> Iterable[str]:
    refused = rows[rows["status"].isin(NOT_RUN)]
    by_reason = refused.groupby(["implementation", "status", "reason"], sort=False)["case"].nunique()
    for (name, status), part in groupby(by_reason.items(), key=lambda item: item[0][:2]):  # type: ignore[index]  # a key of three
        reasons = [(str(key[2]), int(number)) for key, number in part]  # type: ignore[index]  # a key of three
        told = "; ".join(f"{plain(reason)} ({count(number, 'case')})" for reason, number in reasons[:3])
        more = f"; and {count(len(reasons) - 3, 'other reason')}" if len(reasons) > 3 else ""
        yield f"{code(name)} {status}: {told}{more}."
    missing = sum(len(run.missing) for run in runs)
    if missing:
        yield f"{count(missing, 'record')} of what was planned never came to an end: a run is incomplete."
    if refused.empty and not missing:
        yield "Nothing: every implementation ran every case."


def _trust(rows: pd.DataFrame, runs: Sequence[Run]) -> Iterable[str]:
    usable = timed(rows)
    yield from _spread(usable)
    untimed = rows[(rows["status"] == "PASSED") & rows["median_ns"].isna()]
    if not untimed.empty:
        yield f"{count(len(untimed), 'record')} that agree with the oracle were not timed."
    notes = rows["notes"].explode().dropna()
    for note, number in notes.value_counts().head(5).items():
        yield f"{count(int(number), 'record')}: {plain(str(note))}."
    if not usable.empty and not usable["device_kind"].astype(str).str.startswith("cuda").any():
        yield "No GPU was timed."
    for run in runs:
        if run.damaged:
            lines = "; ".join(plain(line) for line in run.damaged[:3])
            yield f"{count(len(run.damaged), 'damaged line')} in {code(run.path)} skipped: {lines}."
        if run.header.environment.dirty:
            yield "The revision had local changes: its number alone does not repeat the run."


def _spread(usable: pd.DataFrame) -> Iterable[str]:
    if usable.empty:
        yield "No time was measured: agreement alone can be read from this."
        return
    half = (usable["high_ns"] - usable["low_ns"]) / usable["median_ns"] / 2
    samples = usable["samples"].astype(int)
    yield (
        f"Times are medians of {samples.min()} to {samples.max()} samples with 95% intervals; "
        f"the typical interval is ±{digits(100 * half.median(), 2)}%. Where two intervals overlap, it is called a tie."
    )
    if disturbed := int((half > WIDE).sum()):
        yield f"{count(disturbed, 'timing')} of {len(usable):,} were disturbed (interval beyond ±{WIDE:.0%})."
    if few := int((samples < FEW).sum()):
        yield f"{count(few, 'timing')} have fewer than {FEW} samples: their range covers less than 95%."


def _against(runs: Sequence[Run], baseline: Run) -> Paragraph:
    lines, bad = [], False
    for run in runs:
        if reasons := differences(run, baseline):
            lines.append(f"Not comparable with the baseline: {'; '.join(plain(r) for r in reasons[:4])}.")
        verdicts = compare(run, baseline)["verdict"].value_counts()
        told = [f"{int(verdicts[name])} {name}" for name in VERDICTS if name in verdicts]
        lines.append(f"Against the baseline of {plain(baseline.header.created)}: {listed(told) or 'no record'}.")
        bad = bad or "REGRESSED" in verdicts
    lines.append(
        f"Two stored runs can show a change of {COARSE - 1:.0%} or more; smaller ones need both sides in one run."
    )
    return Paragraph(title="Baseline", lines=tuple(lines), bad=bad)
