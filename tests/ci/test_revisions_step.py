"""Which two commits the action compares, in checkouts as GitHub makes them."""

import base64

import pytest


@pytest.fixture
def origin(tmp_path, git):
    """main has two commits, a branch one; GitHub's merge commit joins main's second with the branch."""
    folder = tmp_path / "origin"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    git(folder, "commit", "-q", "--allow-empty", "-m", "one")
    git(folder, "checkout", "-q", "-b", "topic")
    git(folder, "commit", "-q", "--allow-empty", "-m", "a topic")
    git(folder, "checkout", "-q", "main")
    git(folder, "commit", "-q", "--allow-empty", "-m", "two")
    git(folder, "checkout", "-q", "--detach")
    git(folder, "merge", "-q", "--no-ff", "-m", "merge\n\nparent 0000", "topic")
    git(folder, "update-ref", "refs/pull/7/merge", "HEAD")
    git(folder, "checkout", "-q", "main")
    git(folder, "tag", "v1", "main~1")
    return folder


@pytest.fixture
def resolve(runner, origin, git):
    """Check one ref out as the checkout action does (depth 1), then run the step."""

    def run(ref, event_ref=None, **variables):
        git(runner.workspace, "init", "-q")
        git(runner.workspace, "remote", "add", "origin", f"file://{origin}")
        git(runner.workspace, "fetch", "-q", "--depth=1", "origin", ref)
        git(runner.workspace, "checkout", "-q", "--detach", "FETCH_HEAD")
        sha = git(runner.workspace, "rev-parse", "HEAD")
        return runner.run("revisions.py", GITHUB_SHA=sha, GITHUB_REF=event_ref or ref, **variables)

    return run


def has(git, folder, commit):
    return git(folder, "cat-file", "-t", commit) == "commit"


def test_a_pull_request_is_compared_with_what_its_merge_commit_changes(resolve, runner, origin, git):
    stale = git(origin, "rev-parse", "main~1")
    done = resolve("refs/pull/7/merge", EVENT_BASE=stale)
    assert done.returncode == 0, done.stdout + done.stderr
    assert runner.outputs["base"] == git(origin, "rev-parse", "main") != stale
    assert runner.outputs["head"] == git(origin, "rev-parse", "refs/pull/7/merge")
    assert has(git, runner.workspace, runner.outputs["base"])


def test_a_checkout_of_the_branch_itself_falls_to_the_events_base(resolve, runner, origin, git):
    base = git(origin, "rev-parse", "main")
    assert resolve("refs/heads/topic", EVENT_BASE=base).returncode == 0
    assert runner.outputs == {"base": base, "head": git(origin, "rev-parse", "topic")}
    assert has(git, runner.workspace, base)


@pytest.mark.parametrize("named", ["main", "v1"])
def test_a_named_base_is_fetched(resolve, runner, origin, git, named):
    assert resolve("refs/pull/7/merge", INPUT_BASE=named, INPUT_HEAD="topic").returncode == 0
    assert runner.outputs["base"] == git(origin, "rev-parse", named)
    assert runner.outputs["head"] == git(origin, "rev-parse", "topic")


@pytest.mark.parametrize("before", ["", "0" * 40])
def test_an_event_that_names_no_base_is_refused(resolve, before):
    done = resolve("refs/heads/main", EVENT_BASE=before)
    assert done.returncode == 2
    assert "give the input `base`" in done.stdout


@pytest.mark.parametrize("bad", ["no-such-branch", "--upload-pack=touch pwned", "f" * 40])
def test_a_base_that_is_not_there_is_refused(resolve, runner, bad):
    done = resolve("refs/heads/main", INPUT_BASE=bad)
    assert done.returncode == 2
    assert "::error" in done.stdout
    assert bad.split("=", maxsplit=1)[0] in done.stdout
    assert not list(runner.folder.rglob("pwned"))


def test_a_checkout_that_belongs_to_another_user_is_read(resolve, runner):
    done = resolve("refs/heads/main", INPUT_BASE="HEAD", GIT_TEST_ASSUME_DIFFERENT_OWNER="1")
    assert done.returncode == 0, done.stdout
    assert runner.outputs["base"] == runner.outputs["head"]


def test_the_token_is_tried_second_and_never_printed(resolve, runner, tmp_path):
    log = tmp_path / "git.log"
    fake = tmp_path / "fakebin" / "git"
    fake.parent.mkdir()
    fake.write_text(
        "#!/bin/sh\n"
        f'echo "$GIT_CONFIG_VALUE_1" >> {log}\n'
        'case "$*" in *rev-parse*) [ -f fetched ] || exit 1; echo 1234;; *fetch*) '
        '[ -n "$GIT_CONFIG_VALUE_1" ] && touch fetched || exit 128;; esac\n'
    )
    fake.chmod(0o755)
    path = f"{fake.parent}:{runner.environment['PATH']}"
    done = runner.run("revisions.py", GITHUB_SHA="x", INPUT_BASE="b", INPUT_HEAD="h", TOKEN="s3cret", PATH=path)
    assert done.returncode == 0, done.stdout
    header = "AUTHORIZATION: basic " + base64.b64encode(b"x-access-token:s3cret").decode()
    assert log.read_text().splitlines()[:3] == ["", "", header]
    assert "s3cret" not in done.stdout + done.stderr
    assert header.split()[-1] not in done.stdout + done.stderr
