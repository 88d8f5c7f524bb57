"""What a user's function says of itself, as attributes of the function or options of the command. No torch.

``attention.features = {"causal", "gqa"}`` is the whole list of what it can do; ``{"-gqa", "-backward"}``
withdraws from what its signature lets one assume. ``attention.dtypes``, ``attention.devices`` and
``attention.refusals`` (exceptions by which it says no) are lists as well.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from attnbench.bench.registry.loading import UserFileError
from attnbench.impls.contract import ANY_DEVICE, DTYPES, EVERYTHING, ConventionError, Conventions, conventions_of


@dataclass(frozen=True)
class Options:
    """What the options of a command say of every ``FILE.py:FUNCTION`` in it; `without` names features and dtypes."""

    without: tuple[str, ...] = ()
    conventions: tuple[tuple[str, str], ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        """The options as a command line."""
        without = ("--without", ",".join(self.without)) if self.without else ()
        under = [word for name, value in self.conventions for word in ("--convention", f"{name}={value}")]
        return (*without, *under)


NO_OPTIONS = Options()

_given: list[Options] = []


def use_options(options: Options) -> None:
    """From now on, in this process, functions are declared by these options too."""
    _given[:] = [options]


def given_options() -> Options:
    """The options of the command that this process works for."""
    return _given[0] if _given else NO_OPTIONS


def problem_of(options: Options) -> str | None:
    """What is wrong with the options themselves, if anything."""
    known = (*sorted(EVERYTHING), *DTYPES)
    try:
        conventions_of(dict(options.conventions))
    except ConventionError as error:
        return f"--convention: {error}"
    unknown = [name for name in options.without if name not in known]
    return (
        f"--without {unknown[0]!r} is neither a feature nor a dtype: there are {', '.join(known)}"
        if unknown
        else None
    )


@dataclass(frozen=True)
class Declaration:
    """What one function can do."""

    features: frozenset[str]
    dtypes: tuple[str, ...]
    devices: tuple[str, ...]
    refusals: tuple[type[BaseException], ...]
    conventions: Conventions


def declaration_of(function: Callable[..., Any], name: str, assumed: frozenset[str]) -> Declaration:
    """`function`'s own word on what its signature lets one assume. Raises UserFileError for a word without sense."""
    without = given_options().without
    features = _features(function, name, assumed) - set(without)
    dtypes = _chosen(function, name, "dtypes", DTYPES)
    return Declaration(
        features=features,
        dtypes=tuple(dtype for dtype in dtypes if dtype not in without),
        devices=_chosen(function, name, "devices", ANY_DEVICE),
        refusals=_refusals(function, name),
        conventions=_conventions(function, name),
    )


def _features(function: Callable[..., Any], name: str, assumed: frozenset[str]) -> frozenset[str]:
    said = _words(function, name, "features")
    if said is None:
        return assumed
    withdrawn = {word[1:] for word in said if word.startswith("-")}
    listed = {word for word in said if not word.startswith("-")}
    if withdrawn and listed:
        raise UserFileError(f"{name}: features either lists what it does or withdraws with a '-', not both: {said}")
    if unknown := sorted((withdrawn | listed) - EVERYTHING):
        raise UserFileError(
            f"{name}: there is no feature {unknown[0]!r}; there are {', '.join(sorted(EVERYTHING))}"
        )
    if mute := sorted(listed - assumed):
        raise UserFileError(f"{name}: declares {', '.join(mute)}, but no parameter of it says so to the function")
    return frozenset(listed) if listed else assumed - withdrawn


def _chosen(function: Callable[..., Any], name: str, what: str, known: tuple[str, ...]) -> tuple[str, ...]:
    said = _words(function, name, what)
    if said is None:
        return known
    if unknown := [word for word in said if word not in known]:
        raise UserFileError(f"{name}: {what} holds {unknown[0]!r}; there are {', '.join(known)}")
    if not said:
        raise UserFileError(f"{name}: {what} is empty, so that no case is left; there are {', '.join(known)}")
    return said


def _words(function: Callable[..., Any], name: str, what: str) -> tuple[str, ...] | None:
    """The words that the attribute `what` holds; None where there is none."""
    value = getattr(function, what, None)
    if value is None:
        return None
    words = (value,) if isinstance(value, str) or not isinstance(value, Iterable) else tuple(value)
    if not all(isinstance(word, str) for word in words):
        raise UserFileError(f"{name}: {what} must be a list of words, not {value!r}")
    return words


def _conventions(function: Callable[..., Any], name: str) -> Conventions:
    said = getattr(function, "conventions", {})
    if not isinstance(said, Mapping):
        raise UserFileError(f"{name}: conventions must be a mapping such as {{'causal': 'top-left'}}, not {said!r}")
    try:
        return conventions_of({**said, **dict(given_options().conventions)})
    except ConventionError as error:
        raise UserFileError(f"{name}: {error}") from error


def _refusals(function: Callable[..., Any], name: str) -> tuple[type[BaseException], ...]:
    value = getattr(function, "refusals", ())
    kinds = (value,) if isinstance(value, type) else tuple(value) if isinstance(value, Iterable) else (value,)
    for kind in kinds:
        if not (isinstance(kind, type) and issubclass(kind, Exception)) or kind is Exception:
            raise UserFileError(f"{name}: refusals must be exceptions more special than Exception, not {kind!r}")
    return (NotImplementedError, *kinds)
