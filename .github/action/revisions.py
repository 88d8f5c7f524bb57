"""Find the two revisions that the gate compares, and fetch what a shallow checkout lacks.

Without an input the candidate is the commit that is checked out. The baseline
is, in this order: the first parent of the merge commit that a pull request is
tested on (exactly what the pull request would change; the event's own base can
be older), the base that the event names, what a push replaced.

Reads INPUT_BASE, INPUT_HEAD, REPOSITORY, EVENT_BASE, TOKEN and GitHub's own
variables; sets the outputs `base` and `head`, full commit hashes.
"""

import base64
import os
import subprocess
from pathlib import Path

from workflow import refuse, set_output, with_git_settings


class Missing(Exception):
    """A revision that is neither in the checkout nor to be had from its origin."""


class Repository:
    """The checkout of the user's repository."""

    def __init__(self, folder: Path, token: str = "") -> None:
        self.folder, self.token = folder, token

    def git(self, *arguments: str, **settings: str) -> str:
        """What git prints; CalledProcessError where it fails."""
        return subprocess.run(
            ["git", "-C", self.folder, *arguments],
            env=with_git_settings({**os.environ, "GIT_TERMINAL_PROMPT": "0"}, **settings),
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()

    def commit(self, revision: str) -> str:
        """The full hash of `revision`, fetched alone where the checkout lacks it; Missing where it can't be had."""
        if revision.startswith("-"):
            raise Missing(f"{revision!r} is no revision: it begins with a hyphen")
        try:
            return self._known(revision)
        except subprocess.CalledProcessError:
            self._fetch(revision)
            return self._known("FETCH_HEAD")

    def parents(self, commit: str) -> list[str]:
        """Hashes of a commit's parents, those that a shallow checkout lacks too."""
        header = self.git("cat-file", "commit", commit).split("\n\n", 1)[0]
        return [line.split()[1] for line in header.splitlines() if line.startswith("parent ")]

    def _known(self, revision: str) -> str:
        return self.git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")

    def _fetch(self, revision: str) -> None:
        """Fetch one commit without its history, as the checkout is set up; then with the token."""
        fetch = ("fetch", "--quiet", "--no-tags", "--depth=1", "origin", revision)
        try:
            self.git(*fetch)
        except subprocess.CalledProcessError as first:
            if not self.token:
                raise Missing(_unfetched(revision, first)) from first
            try:
                self.git(*fetch, **self._credentials())
            except subprocess.CalledProcessError as second:
                raise Missing(_unfetched(revision, second)) from second

    def _credentials(self) -> dict[str, str]:
        secret = base64.b64encode(f"x-access-token:{self.token}".encode()).decode()
        server = os.environ.get("GITHUB_SERVER_URL", "https://github.com")
        return {f"http.{server}/.extraheader": f"AUTHORIZATION: basic {secret}"}


def _unfetched(revision: str, error: subprocess.CalledProcessError) -> str:
    said = " ".join(str(error.stderr).split()) or f"exit {error.returncode}"
    return f"revision {revision!r} is not in the checkout and could not be fetched from origin: {said}"


def baseline_of(repository: Repository, head: str) -> str:
    """The revision that the event compares with; '' where it names none."""
    reference = os.environ.get("GITHUB_REF", "")
    if reference.startswith("refs/pull/") and reference.endswith("/merge") and head == os.environ["GITHUB_SHA"]:
        parents = repository.parents(head)
        if len(parents) == 2:
            return parents[0]
    named = os.environ.get("EVENT_BASE", "")
    return named if named.strip("0") else ""


def main() -> None:
    """Resolve both revisions and set them as outputs; exit 2 where that can't be done."""
    repository = Repository(Path(os.environ["REPOSITORY"]), os.environ.get("TOKEN", ""))
    try:
        head = repository.commit(os.environ.get("INPUT_HEAD") or "HEAD")
        base = os.environ.get("INPUT_BASE") or baseline_of(repository, head)
        if not base:
            refuse("this event names nothing to compare with: give the input `base` a branch, tag or commit")
        base = repository.commit(base)
    except (Missing, subprocess.CalledProcessError) as error:
        refuse(str(error.stderr if isinstance(error, subprocess.CalledProcessError) else error))
    print(f"comparing {base} (baseline) with {head} (candidate)")
    set_output("base", base)
    set_output("head", head)


if __name__ == "__main__":
    main()
