"""A Hugging Face ``config.json`` on disk in place of a preset.

Only the file is read: no network, no transformers. Key names are those of the
configuration classes of transformers; where a model family says the same in other
words, both are known. What the file does not determine is an error, not a guess.
"""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from attnbench.bench.sweeps.errors import SweepError
from attnbench.bench.sweeps.models import PHASES, Preset
from attnbench.bench.sweeps.readers import Value

HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads")
WIDTH = ("hidden_size", "n_embd", "d_model", "dim")
ENCODERS = frozenset({
    "bert", "roberta", "xlm-roberta", "distilbert", "albert", "electra", "camembert", "modernbert", "mpnet", "vit",
    "deit", "dinov2",
})  # fmt: skip
NESTED = ("text_config", "llm_config")
ATTENTION = "attn_config"
"""Where MPT and DBRX keep what others have at the top."""

ALTERNATING = frozenset({"gemma2", "gemma3_text"})
"""Families whose layers alternate between a window and none, where the file has no layer_types."""


def read_config(path: str) -> Preset:
    """The preset that the file at `path`, or ``config.json`` in that folder, describes; SweepError otherwise."""
    file = Path(path) / "config.json" if Path(path).is_dir() else Path(path)
    return _Reader(file, _load(file)).preset()


def _load(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SweepError(f"{file}: can't be read: {error.strerror}: expected a model's config.json") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        line = f":{error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise SweepError(f"{file}{line}: is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise SweepError(f"{file}: holds a {type(found).__name__}: expected an object with {HEADS[0]}")
    for name in NESTED:  # a model that also sees: its language part
        if isinstance(found.get(name), dict):
            return {"model_type": found.get("model_type"), **found[name]}
    return found | found[ATTENTION] if isinstance(found.get(ATTENTION), dict) else found


@dataclass
class _Reader:
    """Figures of one file, each with the key that it came from."""

    file: Path
    config: dict[str, Any]
    figures: dict[str, tuple[Value, ...]] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)

    @property
    def family(self) -> str:
        return str(self.config.get("model_type"))

    def preset(self) -> Preset:
        if self.config.get("is_encoder_decoder"):
            raise SweepError(
                f"{self.file}: is_encoder_decoder: such a model has three kinds of attention: "
                "expected a model of one kind (give the shapes themselves with --q-heads and --head-dim)"
            )
        self._heads()
        self._scores()
        self._masks()
        phases = ("prefill",) if self.family in ENCODERS else PHASES
        title = str(self.config.get("_name_or_path") or self.family)
        return Preset(str(self.file), title, str(self.file), self.figures, self.sources, phases)

    def say(self, axis: str, values: tuple[Value, ...], source: str) -> None:
        self.figures[axis], self.sources[axis] = values, source

    def number(self, *names: str) -> tuple[int, str] | None:
        """The first of these keys that is there, as a whole number, with its name."""
        for name in names:
            value = self.config.get(name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise SweepError(f"{self.file}: {name} is {value!r}: expected a whole number, 1 or more")
            return value, name
        return None

    def real(self, name: str) -> float | None:
        """This key as a positive number, or None where it is not there."""
        value = self.config.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
            raise SweepError(f"{self.file}: {name} is {value!r}: expected a number above 0")
        return float(value)

    def needed(self, *names: str) -> tuple[int, str]:
        found = self.number(*names)
        if found is None:
            raise SweepError(f"{self.file}: there is no {names[0]}: expected it, or {', '.join(names[1:])}")
        return found

    def _heads(self) -> None:
        heads, source = self.needed(*HEADS)
        self.say("q_heads", (heads,), source)
        if latent := self.number("qk_nope_head_dim"):
            rope, _ = self.needed("qk_rope_head_dim", "rope_head_dim")
            self.say("head_dim", (latent[0] + rope,), "qk_nope_head_dim + qk_rope_head_dim")
            width, source = self.needed("v_head_dim", "value_head_dim")
            self.say("v_head_dim", (width,), source)
            self.say("kv_heads", (heads,), "one for each query head once the latent is projected up")
            return
        self.say("kv_heads", *self._kv_heads(heads, source))
        if own := self.number("head_dim", "kv_channels"):
            self.say("head_dim", (own[0],), own[1])
            return
        width, name = self.needed(*WIDTH)
        if width % heads:
            raise SweepError(f"{self.file}: {name} is {width}: expected a multiple of {source}, {heads}")
        self.say("head_dim", (width // heads,), f"{name} / {source} = {width} / {heads}")

    def _kv_heads(self, heads: int, source: str) -> tuple[tuple[int, ...], str]:
        new_falcon = self.family == "falcon" and self.config.get("new_decoder_architecture")
        if self.config.get("multi_query") and not new_falcon:
            return (1,), "multi_query"
        names = ("num_kv_heads",) if new_falcon else ("num_key_value_heads", "n_kv_heads", "kv_n_heads")
        if self.config.get("multi_query_attention"):
            names = ("multi_query_group_num",)
        found = self.number(*names)
        return ((found[0],), found[1]) if found else ((heads,), source)

    def _scores(self) -> None:
        if (cap := self.real("attn_logit_softcapping")) is not None:
            self.say("softcap", (cap,), "attn_logit_softcapping")
        scalar = self.real("query_pre_attn_scalar")
        if scalar is not None and (scalar,) != self.figures["head_dim"]:
            self.say("scale", (_six(scalar**-0.5),), f"query_pre_attn_scalar ** -0.5 = {scalar:g} ** -0.5")
        if (factor := self.real("attention_multiplier")) is not None:
            self.say("scale", (factor,), "attention_multiplier")
        rope = self.config.get("rope_scaling") or self.config.get("rope_parameters") or {}
        if "v_head_dim" in self.figures and (all_dim := rope.get("mscale_all_dim")):
            (width,) = self.figures["head_dim"]
            stretched = 0.1 * all_dim * math.log(rope["factor"]) + 1
            scale = int(str(width)) ** -0.5 * stretched**2
            self.say("scale", (_six(scale),), "head_dim ** -0.5 * (0.1 * mscale_all_dim * ln(factor) + 1) ** 2")
        if self.config.get("alibi") or self.family == "bloom":
            self.say("bias", ("alibi",), "alibi" if self.config.get("alibi") else "model_type bloom")
        if self.family == "gpt_oss":
            self.say("sinks", (True,), "model_type gpt_oss")

    def _masks(self) -> None:
        plain = "full" if self.family in ENCODERS else "causal"
        window = self._window(plain)
        kinds = self._layer_kinds(window is not None)
        known = {"full_attention": plain, "sliding_attention": window[0] if window else plain}
        if strange := [kind for kind in kinds if kind not in known]:
            raise SweepError(f"{self.file}: layer_types has {strange[0]!r}: expected {' or '.join(known)}")
        masks = tuple(dict.fromkeys(known[kind] for kind in kinds))
        self.say("mask", masks, f"{window[1]}, by layer" if window else f"model_type {self.family}")
        if plain == "full":
            self.say("layout", ("padded:ragged",), "the tokenizer's attention_mask; their spread is ours")
            self.say("batch", (4,), "ours: a single row would have no padding")

    def _window(self, plain: str) -> tuple[str, str] | None:
        """The windowed mask and its source; a causal window of W counts the position itself."""
        if plain == "full":
            if not (local := self.number("local_attention")):
                return None
            return f"window:{local[0] // 2}:{local[0] // 2}", "local_attention / 2 on each side"
        if self.config.get("use_sliding_window") is False or not (found := self.number("sliding_window")):
            return None
        return f"window:{found[0] - 1}:0", f"sliding_window = {found[0]}, the position itself counts"

    def _layer_kinds(self, windowed: bool) -> list[str]:
        """Kinds of layers, each once, in the order of the file."""
        if types := self.config.get("layer_types"):
            return list(dict.fromkeys(types))
        if not windowed:
            return ["full_attention"]
        layers, first = self.config.get("num_hidden_layers", 0), self.config.get("max_window_layers", 0)
        mixed = self.family in ALTERNATING or self.family in ENCODERS or 0 < first < layers
        mixed = mixed or (self.config.get("sliding_window_pattern") or 0) > 1
        return ["sliding_attention", "full_attention"] if mixed else ["sliding_attention"]


def _six(value: float) -> float:
    """Six digits: an id should stay short, and no kernel sees the rest."""
    return float(f"{value:.6g}")
