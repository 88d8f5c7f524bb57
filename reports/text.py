"""Text from outside, made safe for a sentence: on one line, visible, not too long; and times in one zone."""

from datetime import UTC, datetime

LONGEST_REASON = 240


def code(text: str) -> str:
    """`text` between backticks, on one line, without backticks of its own."""
    return f"`{plain(text)}`"


def visible(text: str) -> str:
    """`text` on one line, without characters that can't be seen or that turn the direction of others."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def plain(text: str) -> str:
    """Visible text without backticks, cut where it is very long."""
    seen = visible(text.replace("`", "'"))
    return seen if len(seen) <= LONGEST_REASON else f"{seen[:LONGEST_REASON]}…"


def moment(created: str) -> str:
    """A time as it is stored, for people: ``2026-03-02 09:30 UTC``; what is no time stays as it is."""
    try:
        made = datetime.fromisoformat(created)
    except ValueError:
        return plain(created)
    shown = made.astimezone(UTC) if made.tzinfo else made
    return f"{shown:%Y-%m-%d %H:%M}{' UTC' if made.tzinfo else ''}"
