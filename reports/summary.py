"""The sentences at the top of a report: what was compared, is wrong, to use, was not run, and how reliable it is.

Plain text; a name in `backticks` is code. What comes from outside goes through
:func:`attnbench.reports.text.code`, which keeps it inside its quotes.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from attnbench.bench.records.schema import Run
from attnbench.bench.records.verdict import SEVERITY, About, Judgement, Verdict
from attnbench.bench.units import count, digits, interval, length, listed, show
from attnbench.reports.choices import Choice, choices, default_reference
from attnbench.reports.data import BROKEN, NOT_RUN, table
from attnbench.reports.text import code, moment, plain
from attnbench.reports.trust import trust

NOT_BEST = 1.05
"""Ratio to the fastest of a case above which a recommendation states it."""
NOTHING_TO_USE = "Nothing to recommend: no record is both right and timed."


@dataclass(frozen=True, kw_only=True)
class Paragraph:
    """A heading and its sentences; `bad` where it is shown as a warning."""

    title: str
    lines: tuple[str, ...]
    bad: bool = False


@dataclass(frozen=True, kw_only=True)
class Advice:
    """One recommendation; `where` names the machine if there are several."""

    where: str
    situation: str
    lengths: str
    use: str
    ties: tuple[str, ...]
    why: str

    @property
    def sentence(self) -> str:
        """``Causal prefill in bf16 from 1k on: use `a`, 3.1x faster than `b` (2.7 to 3.6x over 12 cases).``"""
        place = (
            f"On {self.where}: {self.situation}" if self.where else self.situation[:1].upper() + self.situation[1:]
        )
        ties = f", which ties with {listed([code(name) for name in self.ties])}" if self.ties else ""
        return f"{place} {self.lengths}: use {code(self.use)}{ties}{', ' if self.why else ''}{self.why}."


@dataclass(frozen=True, kw_only=True)
class Summary:
    """All sentences at the top, with the frame and the choices that they were made from.

    `current` holds the indices of the newest run of each machine: the sentences are about
    those, the older runs are history.
    """

    paragraphs: tuple[Paragraph, ...]
    advice: tuple[Advice, ...]
    rows: pd.DataFrame
    choices: tuple[Choice, ...]
    reference: str | None
    current: tuple[int, ...]


def summary(
    runs: Sequence[Run], *, against: Sequence[Judgement] = (), reference_implementation: str | None = None
) -> Summary:
    """The sentences about `runs`. Raises ValueError, with the known names, for a reference that has no record."""
    every = table(runs)
    newest = current(runs)
    rows = every[every["run_index"].isin(newest)]
    order = list(dict.fromkeys(name for run in runs for name in run.header.implementations))
    reference = reference_implementation or default_reference(rows, order)
    if reference_implementation and reference_implementation not in set(every["implementation"]):
        known = ", ".join(order) or "none"
        raise ValueError(f"no record of {reference_implementation!r}; the implementations are: {known}")
    chosen = tuple(choices(rows, reference))
    advised = tuple(advice(choice, runs if len(newest) > 1 else ()) for choice in chosen)
    latest = [runs[place] for place in newest]
    paragraphs = (
        Paragraph(title="Compared", lines=tuple(_compared_all(runs, latest))),
        _wrong(rows),
        Paragraph(title="Use", lines=tuple(line.sentence for line in advised) or (NOTHING_TO_USE,)),
        Paragraph(title="Not run", lines=tuple(_not_run(rows, latest))),
        Paragraph(title="Trust", lines=tuple(trust(rows, latest))),
        *([_against(against)] if against else []),
    )
    return Summary(
        paragraphs=paragraphs, advice=advised, rows=every, choices=chosen, reference=reference, current=newest
    )


def current(runs: Sequence[Run]) -> tuple[int, ...]:
    """Indices of the newest run of each machine (fingerprint), in the order of `runs`."""
    newest: dict[str, int] = {}
    for place, run in enumerate(runs):
        machine = run.header.environment.fingerprint
        if machine not in newest or run.header.created >= runs[newest[machine]].header.created:
            newest[machine] = place
    return tuple(sorted(newest.values()))


def _compared_all(runs: Sequence[Run], latest: Sequence[Run]) -> Iterable[str]:
    if not runs:
        yield "No run was given."
    yield from map(_compared, latest)
    if older := len(runs) - len(latest):
        yield (
            f"{count(older, 'older run')} of the same {'machine' if len(latest) == 1 else 'machines'}: "
            "the sentences are about the newest, the older ones are hidden until the filter shows them."
        )


def _compared(run: Run) -> str:
    header, machine = run.header, run.header.environment
    kept = {
        name: machine.must_match[name]
        for name in ("torch", "triton", "cuda", "driver")
        if name in machine.must_match
    }
    versions = ", ".join(f"{name} {plain(value)}" for name, value in kept.items())
    revision = f", revision {plain(machine.commit[:10])}{' with local changes' if machine.dirty else ''}"
    return (
        f"{count(len(header.implementations), 'implementation')} on {count(len(header.cases), 'case')} "
        f"(sweep {code(header.sweep)}, seed {header.seed}) "
        f"on {plain(machine.device_name)} ({plain(machine.device)})"
        f"{', ' + versions if versions else ''}{revision if machine.commit else ''}, {moment(header.created)}."
    )


def _wrong(rows: pd.DataFrame) -> Paragraph:
    wrong, broken = rows[rows["status"] == "WRONG"], rows[rows["status"].isin(BROKEN)]
    judged = int((rows["status"].isin(["PASSED", "WRONG"])).sum())
    if wrong.empty and broken.empty:
        agrees = (
            f"Nothing: {_all(judged)} with the float64 oracle."
            if judged
            else "Nothing was checked, so nothing can be said."
        )
        return Paragraph(title="Wrong", lines=(agrees,), bad=not judged)
    lines = [f"{judged - len(wrong):,} of {count(judged, 'checked record')} agree with the float64 oracle."]
    lines += [_wrong_line(str(name), part, rows) for name, part in wrong.groupby("implementation", sort=False)]
    lines += [
        f"{code(str(name))} ended with {status} on {count(len(part), 'case')}: {plain(str(part['reason'].iloc[0]))}"
        for (name, status), part in broken.groupby(["implementation", "status"], sort=False)
    ]
    return Paragraph(title="Wrong", lines=tuple(lines), bad=True)


def _all(judged: int) -> str:
    return "the one checked record agrees" if judged == 1 else f"all {judged:,} checked records agree"


def _wrong_line(name: str, part: pd.DataFrame, rows: pd.DataFrame) -> str:
    tried = int(((rows["implementation"] == name) & rows["status"].isin(["PASSED", "WRONG"])).sum())
    worst = part.iloc[int(part["share_of_budget"].fillna(-1).astype(float).argmax())]
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


def advice(choice: Choice, runs: Sequence[Run] = ()) -> Advice:
    """`choice` as a recommendation; it names the machine where `runs` are given."""
    return Advice(
        where=plain(runs[choice.run_index].header.environment.device_name) if runs else "",
        situation=situation(choice),
        lengths=lengths(choice),
        use=choice.implementation,
        ties=choice.ties,
        why=_why(choice),
    )


def _why(choice: Choice) -> str:
    gain = choice.gain
    late = f"at worst {show(choice.behind, 'ratio')} the time of the fastest" if choice.behind > NOT_BEST else ""
    if gain is None or choice.reference in choice.ties:
        return late
    span = f" ({interval(gain.least, gain.most, 'ratio')} over {choice.cases} cases)" if choice.cases > 1 else ""
    than = f"{show(gain.mean, 'ratio')} faster than {code(choice.reference)}{span}"
    if gain.mean < 1:
        than = f"{show(gain.mean, 'ratio')} the speed of {code(choice.reference)}, which did fewer cases{span}"
    return f"{than}; {late}" if late else than


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
    for (name, status), part in refused.groupby(["implementation", "status"], sort=False):
        reasons = part.groupby("reason")["case"].nunique().sort_values(ascending=False)
        told = "; ".join(
            f"{plain(str(reason))} ({count(int(number), 'case')})" for reason, number in reasons.head(3).items()
        )
        more = f"; and {count(len(reasons) - 3, 'other reason')}" if len(reasons) > 3 else ""
        yield f"{code(str(name))} {status}: {told}{more}."
    if missing := sum(len(run.missing) for run in runs):
        yield f"{count(missing, 'planned record')} {'is' if missing == 1 else 'are'} missing: a run did not end."
    if refused.empty and not missing:
        yield "Nothing: every implementation ran every case."


def _against(against: Sequence[Judgement]) -> Paragraph:
    lines: list[str] = []
    for judgement in against:
        counts = Counter(one.verdict for one in judgement.findings)
        told = [f"{counts[verdict]} {verdict}" for verdict in SEVERITY if counts[verdict]]
        lines.append(f"Against the baseline {plain(judgement.baseline)}: {listed(told) or 'no record'}.")
        lines += [_sentence(judgement.invalid_reason)] if judgement.invalid_reason else []
        lines += _turned(judgement)
    lines += dict.fromkeys(_sentence(note) for judgement in against for note in judgement.notes)
    bad = any(judgement.verdict is Verdict.REGRESSED for judgement in against)
    return Paragraph(title="Baseline", lines=tuple(lines), bad=bad)


def _sentence(text: str) -> str:
    shown = plain(text)
    return f"{shown[:1].upper()}{shown[1:]}" + ("" if shown.endswith((".", "…")) else ".")


def _turned(judgement: Judgement) -> Iterable[str]:
    """What changed beside the time, by implementation: each with one reason."""
    found: dict[tuple[str, Verdict, About], list[str]] = {}
    for one in judgement.findings:
        if one.about not in (About.TIME, About.PRESENCE) and one.verdict is not Verdict.UNCHANGED:
            found.setdefault((one.implementation, one.verdict, one.about), []).append(one.reason)
    for (name, verdict, about), reasons in found.items():
        yield f"{code(name)} {verdict} in {about} on {count(len(reasons), 'case')}: {plain(reasons[0])}."
