"""Choices on which libraries differ by their own word: declared, followed by the reference, never called wrong."""

from collections.abc import Mapping
from typing import Literal, get_args

import msgspec

ABOUT = {
    "causal": "which corner a mask is aligned to where M and N differ: query i sees j <= i + N - M, or j <= i",
    "empty_rows": "what a row that sees no key gives: 0, the mean of all values, or NaN",
    "window": "whether the window that the function is given counts the query's own key on its left side",
    "softcap": "whether the softcap is applied before an additive mask (bias) is added, or after",
    "lse_base": "the base of the log-sum-exp",
    "lse_sinks": "whether the log-sum-exp holds the sinks",
}


class ConventionError(ValueError):
    """A convention or a value of one that isn't there; the message offers those that are."""


class Conventions(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One value for each choice; the defaults are those of this project. See `ABOUT`."""

    causal: Literal["bottom-right", "top-left"] = "bottom-right"
    empty_rows: Literal["zero", "mean", "nan"] = "zero"
    window: Literal["excludes-query", "counts-query"] = "excludes-query"
    softcap: Literal["before-mask", "after-mask"] = "before-mask"
    lse_base: Literal["e", "2"] = "e"
    lse_sinks: Literal["with", "without"] = "with"

    @property
    def changed(self) -> dict[str, str]:
        """Those that are not the default, by name."""
        values = {name: getattr(self, name) for name in VALUES}
        return {name: value for name, value in values.items() if value != VALUES[name][0]}


DEFAULT = Conventions()
VALUES: dict[str, tuple[str, ...]] = {
    field.name: get_args(field.type) for field in msgspec.structs.fields(Conventions)
}
"""The values of each convention, the default first."""


def conventions_of(said: Mapping[str, str]) -> Conventions:
    """The conventions that `said` names, the others by default. Raises ConventionError."""
    found = {}
    for word, value in said.items():
        name = str(word).replace("-", "_")
        if name not in VALUES:
            raise ConventionError(f"there is no convention {word!r}; there are {', '.join(VALUES)}")
        if value not in VALUES[name]:
            raise ConventionError(f"{name} can't be {value!r}; it is {' or '.join(VALUES[name])}")
        found[name] = value
    return Conventions(**found)  # type: ignore[arg-type]  # each value was looked up


def parse_conventions(text: str) -> Conventions:
    """Conventions as ``causal=top-left,lse_base=2``. Raises ConventionError."""
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    return conventions_of({name.strip(): value.strip() for name, _, value in pairs})


def spelled(conventions: Mapping[str, str]) -> str:
    """As a reader reads them: ``causal top-left, lse_base 2``."""
    return ", ".join(f"{name} {value}" for name, value in conventions.items())


def declare(words: str, name: str, value: str) -> str:
    """`words` about a failure that is exactly another convention, with how to declare that."""
    return (
        f"{words}. Some libraries do so by their own word: if it is meant, declare it with "
        f"--convention {name}={value}, or attention.conventions = {{{name!r}: {value!r}}}"
    )
