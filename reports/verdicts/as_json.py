"""A judgement as JSON, with all fields in every case."""

from typing import Any

import msgspec

from attnbench.bench.records.verdict import Judgement

SCHEMA = 1
"""Raised when a field changes its meaning or is removed; a new field does not raise it."""


def as_dict(judgement: Judgement) -> dict[str, Any]:
    """The judgement as plain values: its fields, with the verdict and the exit code that follow from them."""
    failing = judgement.failing
    return {
        "schema": SCHEMA,
        "verdict": judgement.verdict.value,
        "exit_code": judgement.exit_code,
        "baseline": judgement.baseline,
        "candidate": judgement.candidate,
        "invalid_reason": judgement.invalid_reason,
        "required": [one.value for one in judgement.required],
        "command": judgement.command,
        "notes": list(judgement.notes),
        "findings": [
            {name: getattr(one, name) for name in one.__struct_fields__} | {"fails": one in failing}
            for one in judgement.findings
        ],
    }


def render(judgement: Judgement) -> str:
    """The file's text; a ratio that is not finite is null, and what is not Unicode (a raw byte of a path) is ``?``."""
    return msgspec.json.format(msgspec.json.encode(_unicode(as_dict(judgement)))).decode() + "\n"


def _unicode(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, dict):
        return {key: _unicode(one) for key, one in value.items()}
    return [_unicode(one) for one in value] if isinstance(value, list) else value
