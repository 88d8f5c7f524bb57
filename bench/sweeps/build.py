"""From one point of a group to its cases."""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from attnbench.bench.sweeps.batches import batch_fields
from attnbench.bench.sweeps.forms import implied_shape, layout_for
from attnbench.bench.sweeps.huggingface import read_config
from attnbench.bench.sweeps.models import Preset, model
from attnbench.bench.sweeps.readers import Value
from attnbench.impls.contract import Case, CaseError, parse_mask
from attnbench.impls.contract.layouts import Layout

DEFAULTS: Mapping[str, Value] = {"batch": 1, "q_heads": 8, "head_dim": 64, "q_len": 512, "mask": "causal"}
"""Defaults of a case."""

CONTEXT = 2048
CHUNK = 512
SHORTHANDS = ("model", "config", "phase", "context", "chunk", "batch_spec", "batch_as", "gqa")


def cases_of(point: Mapping[str, Value]) -> Iterator[Case]:
    """The cases of one point: several where a model's layers or a split batch differ.

    Raises CaseError for a combination that can't be, SweepError for what can't be understood.
    """
    preset = _preset(point)
    figures = preset.figures if preset else {}
    varied = [name for name in figures if name not in point]
    for values in product(*(figures[name] for name in varied)):
        fields: dict[str, Any] = dict(zip(varied, values, strict=True))
        fields |= {name: value for name, value in point.items() if name not in SHORTHANDS}
        if "gqa" in point:
            fields.pop("kv_heads", None)
        for lengths in _lengths(point, preset):
            yield _case(fields | lengths, point.get("gqa"))


def _preset(point: Mapping[str, Value]) -> Preset | None:
    if "model" in point:
        return model(str(point["model"]))
    return read_config(str(point["config"])) if "config" in point else None


def _lengths(point: Mapping[str, Value], preset: Preset | None) -> list[dict[str, Any]]:
    """Batch, lengths and layout that phase, context or a batch of requests define."""
    if "batch_spec" in point:
        how = point.get("batch_as", "packed")
        return batch_fields(str(point["batch_spec"]), split=how == "split")
    phase = point.get("phase")
    if phase is None and "context" not in point:
        return [{}]
    phase = str(phase or "prefill")
    if preset and phase not in preset.phases:
        raise CaseError(f"{preset.name} has no phase {phase}, only {' and '.join(preset.phases)}")
    if preset and "q_len" in preset.figures and phase == "cross":
        return [{}]
    context = int(point.get("context") or CONTEXT)
    queries = {"prefill": context, "decode": 1, "chunk": min(int(point.get("chunk") or CHUNK), context)}
    if phase not in queries:
        raise CaseError("phase cross needs a model that has it; elsewhere say q_len and kv_len")
    return [{"q_len": queries[phase], "kv_len": context}]


def _case(fields: dict[str, Any], gqa: Value) -> Case:
    layout = fields.pop("layout", "dense")
    if isinstance(layout, str):
        fields = implied_shape(layout) | fields
    mask = fields.pop("mask", DEFAULTS["mask"])
    fields = dict(DEFAULTS) | fields
    fields.setdefault("kv_len", fields["q_len"])
    fields.setdefault("v_head_dim", fields["head_dim"])
    if gqa is not None:
        fields["kv_heads"] = _grouped(fields["q_heads"], int(gqa))
    fields.setdefault("kv_heads", fields["q_heads"])
    if not isinstance(layout, Layout):
        layout = layout_for(layout, fields["batch"], fields["kv_len"])
    plain = {name: value for name, value in fields.items() if name != "mask" and value is not None}
    return Case(mask=parse_mask(mask), layout=layout, **plain)


def _grouped(q_heads: int, gqa: int) -> int:
    """Key/value heads at this ratio."""
    if q_heads % gqa:
        raise CaseError(f"gqa {gqa} does not divide q_heads {q_heads}")
    return q_heads // gqa
