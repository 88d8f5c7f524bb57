"""Gate two revisions side by side: call ``bench compare``, keep its results, turn its exit code into the step's.

Reads the action's inputs from INPUT_… variables, BASE, HEAD, REPOSITORY (the
user's checkout) and HARNESS (this one). Sets the outputs `verdict`, `exit-code`
and `report`, and writes the job's summary.

The step's exit code is that of ``compare``: 0 nothing got worse, 1 something did,
2 called wrongly, 4 undecided or incomparable. With the input `undecided: warn`
a 4 becomes a warning. An end without results is BROKEN and never a pass.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from workflow import annotate, lines, refuse, set_output, with_git_settings

REGRESSED, USAGE, UNDECIDED = 1, 2, 4
BROKEN = "BROKEN"
WORDS = {0: "UNCHANGED", REGRESSED: "REGRESSED", USAGE: "USAGE", UNDECIDED: "UNDECIDED"}
SINGLE = ("device", "setup", "time-budget", "threads", "fail-on")
"""Inputs that are options of the same name."""
REPEATED = ("impl", "case")
"""Inputs with one entry a line, each an option."""
RESULTS = {"--json": "results.json", "--markdown": "summary.md", "--junit": "junit.xml"}
PRIVATE = ("GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_PATH", "GITHUB_STATE", "GITHUB_STEP_SUMMARY")
"""Files with which a step steers its job; the kernels under test don't get them."""
SUMMARY_BYTES = 1_000_000
"""GitHub drops a step's summary that is larger than 1 MiB."""


def value(name: str) -> str:
    """An input of the action, '' where it isn't given."""
    return os.environ.get(f"INPUT_{name.upper().replace('-', '_')}", "").strip()


def in_repository(name: str) -> str:
    """A path that the user wrote, seen from their checkout."""
    return str(Path(os.environ["REPOSITORY"], name))


def command(report: Path) -> list[str]:
    """The call of ``bench compare``; every word is an argument of its own, none goes through a shell."""
    words = [sys.executable, "-m", "bench", "compare", os.environ["BASE"], os.environ["HEAD"]]
    words += ["--repo", os.environ["REPOSITORY"], "--out", str(report / "run")]
    for name in REPEATED:
        words += [word for entry in lines(value(name)) for word in (f"--{name}", entry)]
    if sweep := value("sweep"):
        words += ["--sweep", in_repository(sweep) if sweep.endswith(".toml") else sweep]
    if allow := value("allow"):
        words += ["--allow", in_repository(allow)]
    words += [word for name in SINGLE if (given := value(name)) for word in (f"--{name}", given)]
    words += [word for option, file in RESULTS.items() for word in (option, str(report / file))]
    return words + lines(value("arguments"))


def environment(outer: Mapping[str, str]) -> dict[str, str]:
    """What ``compare`` and the kernels see: the harness importable, its Python first, no way to steer the job."""
    kept = {name: text for name, text in outer.items() if name not in PRIVATE and not name.startswith("INPUT_")}
    kept["PYTHONPATH"] = os.pathsep.join(filter(None, (outer["HARNESS"], outer.get("PYTHONPATH"))))
    kept["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), outer["PATH"]))
    return with_git_settings(kept)


def run(words: list[str]) -> int:
    """Run from the harness's folder, passing a cancelled job's signals on; the exit code, 128 + N for signal N."""
    with subprocess.Popen(words, cwd=os.environ["HARNESS"], env=environment(os.environ)) as process:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda received, _: process.send_signal(received))
        code = process.wait()
    return code if code >= 0 else 128 - code


def verdict(code: int, results: Path) -> str:
    """The verdict that stands in the results; BROKEN where the exit code promises results and there are none."""
    if code == USAGE:
        return WORDS[USAGE]
    try:
        found = json.loads(results.read_bytes())
    except (FileNotFoundError, json.JSONDecodeError):
        return BROKEN
    if code not in WORDS or not isinstance(found, dict):
        return BROKEN
    return str(found.get("verdict", WORDS[code]))


def summarise(text: str) -> None:
    """Add to the job's summary, no more than GitHub takes."""
    data = text.encode()
    if len(data) > SUMMARY_BYTES:
        cut = data[:SUMMARY_BYTES].decode(errors="ignore").rpartition("\n")[0]
        data = f"{cut}\n\nThe rest is in the report.\n".encode()
    with Path(os.environ["GITHUB_STEP_SUMMARY"]).open("ab") as file:
        file.write(data + b"\n")


def conclude(code: int, found: str, summary: Path) -> int:
    """Write the summary and say what the end means; the step's exit code."""
    if summary.exists():
        summarise(summary.read_text(encoding="utf-8"))
    else:
        summarise(f"### Attention gate: {found}\n\n`bench compare` ended with exit code {code}; see the log.")
    if found == BROKEN:
        annotate("error", f"bench compare ended with exit code {code} and without results: see the log")
        return code or REGRESSED
    if code == UNDECIDED:
        tolerated = value("undecided") == "warn"
        annotate("warning" if tolerated else "error", f"{found}: nothing was decided, and this is not a pass")
        return 0 if tolerated else code
    return code


def main() -> int:
    """Gate, and return the step's exit code."""
    if value("undecided") not in {"fail", "warn"}:
        refuse(f"the input `undecided` is {value('undecided')!r}: expected fail or warn")
    report = Path(tempfile.mkdtemp(prefix="attention-gate-", dir=os.environ["RUNNER_TEMP"]))
    set_output("report", str(report))
    code = run(command(report))
    found = verdict(code, report / RESULTS["--json"])
    set_output("verdict", found)
    set_output("exit-code", str(code))
    return conclude(code, found, report / RESULTS["--markdown"])


if __name__ == "__main__":
    sys.exit(main())
