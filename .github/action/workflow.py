"""What the action's scripts share: how a step speaks to its workflow. Standard library only."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from secrets import token_hex
from typing import NoReturn

USAGE = 2


def set_output(name: str, value: str) -> None:
    """Set an output of this step; the delimiter is random, so that no value can end its own block."""
    end = token_hex(16)
    with Path(os.environ["GITHUB_OUTPUT"]).open("a", encoding="utf-8") as file:
        file.write(f"{name}<<{end}\n{value}\n{end}\n")


def annotate(level: str, message: str) -> None:
    """An annotation on the run; `level` is notice, warning or error."""
    escaped = message.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    print(f"::{level} title=Attention gate::{escaped}", flush=True)


def refuse(message: str) -> NoReturn:
    """End the step because it was asked wrongly."""
    annotate("error", message)
    sys.exit(USAGE)


def lines(text: str) -> list[str]:
    """The entries of an input that takes one a line."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def with_git_settings(environment: Mapping[str, str], **settings: str) -> dict[str, str]:
    """The environment with settings for git that stand in no file.

    Beside `settings`, git is told to trust the checkout's owner: in a container
    job the checkout belongs to another user, and git would refuse to read it.
    """
    changed = dict(environment)
    count = int(changed.get("GIT_CONFIG_COUNT", "0"))
    for name, value in {"safe.directory": "*", **settings}.items():
        changed |= {f"GIT_CONFIG_KEY_{count}": name, f"GIT_CONFIG_VALUE_{count}": value}
        count += 1
    return changed | {"GIT_CONFIG_COUNT": str(count)}
