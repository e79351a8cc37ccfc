"""Hugging Face `config.json` files read into a `Model`, strictly.

Owns which family names which field how. A missing or contradicting field raises `InvalidRequest` with the name the
file uses; what a file leaves to its family's own default is listed in the model's `assumptions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from suanwang.domain.errors import InvalidRequest
from suanwang.measuring.checks import whole
from suanwang.measuring.models import MOST_LAYERS, MOST_WIDTH, Bias, Experts, Latent, Model


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """How one family of configurations spells a decoder."""

    hidden: tuple[str, ...] = ("hidden_size",)
    layers: tuple[str, ...] = ("num_hidden_layers",)
    heads: tuple[str, ...] = ("num_attention_heads",)
    kv_heads: tuple[str, ...] = ("num_key_value_heads",)
    ffn: tuple[str, ...] = ("intermediate_size",)
    ffn_is_four_times: bool = False
    """The feed-forward width is 4 × hidden where the file is silent."""
    context: tuple[str, ...] = ("max_position_embeddings",)
    gated: bool = True
    tied: bool = False
    bias: Bias = Bias.NONE
    norm_vectors: int = 2
    learned_positions: bool = False
    extra_positions: int = 0
    embedding_norm: bool = False


_LLAMA = Family()
_GPT2 = Family(
    hidden=("n_embd",), layers=("n_layer",), heads=("n_head",), ffn=("n_inner",), ffn_is_four_times=True,
    context=("n_positions", "n_ctx"), gated=False, tied=True, bias=Bias.ALL, norm_vectors=4, learned_positions=True,
)  # fmt: skip
_NEOX = Family(gated=False, bias=Bias.ALL, norm_vectors=4)
_FALCON = Family(
    heads=("num_attention_heads", "n_head"), layers=("num_hidden_layers", "n_layer"), ffn=("ffn_hidden_size",),
    kv_heads=("num_kv_heads", "n_head_kv"), ffn_is_four_times=True, gated=False, tied=True, norm_vectors=4,
)  # fmt: skip
FAMILIES: Mapping[str, Family] = {
    **dict.fromkeys(
        ("llama", "mistral", "mixtral", "olmo", "granite", "yi", "internlm", "deepseek", "deepseek_v2", "deepseek_v3",
         "minicpm", "exaone", "smollm3", "stablelm", "baichuan", "phi3", "aquila", "ernie4_5", "hunyuan"),
        _LLAMA,
    ),
    **dict.fromkeys(("olmo2", "qwen3", "qwen3_moe", "olmoe", "llama4_text"), _LLAMA),
    **dict.fromkeys(("qwen2", "qwen2_moe"), Family(bias=Bias.QKV)),
    "gemma": Family(tied=True),
    **dict.fromkeys(("gemma2", "gemma3_text"), Family(tied=True, norm_vectors=4)),
    "cohere": Family(tied=True, norm_vectors=1),
    "gpt2": _GPT2,
    "gpt_bigcode": _GPT2,
    "gptj": Family(
        hidden=("n_embd",), layers=("n_layer",), heads=("n_head",), ffn=("n_inner",), ffn_is_four_times=True,
        context=("n_positions",), gated=False, bias=Bias.NONE, norm_vectors=2,
    ),
    "gpt_neox": _NEOX,
    "opt": Family(
        ffn=("ffn_dim",), gated=False, tied=True, bias=Bias.ALL, norm_vectors=4, learned_positions=True,
        extra_positions=2,
    ),
    "bloom": Family(
        hidden=("hidden_size", "n_embed"), layers=("n_layer", "num_hidden_layers"), heads=("n_head",
        "num_attention_heads"), ffn=(), ffn_is_four_times=True, context=("seq_length",), gated=False, tied=True,
        bias=Bias.ALL, norm_vectors=4, embedding_norm=True,
    ),
    **dict.fromkeys(("falcon", "RefinedWeb", "RefinedWebModel"), _FALCON),
    "mpt": Family(
        hidden=("d_model",), layers=("n_layers",), heads=("n_heads",), ffn=(), ffn_is_four_times=True,
        context=("max_seq_len",), gated=False, tied=True,
    ),
    "phi": Family(ffn_is_four_times=True, gated=False, bias=Bias.ALL, norm_vectors=2),
    "starcoder2": Family(gated=False, tied=True, bias=Bias.ALL, norm_vectors=4),
}  # fmt: skip


def model_from_config(config: Mapping[str, object], *, name: str = "") -> Model:
    """The model of a parsed `config.json`. Raises `InvalidRequest` naming the field that is missing or contradicts."""
    inner = config.get("text_config")
    assumptions: list[str] = []
    if isinstance(inner, Mapping):
        assumptions.append("only the language model (text_config) is counted; other towers of the model are not")
        config = inner
    kind = config.get("model_type")
    if not isinstance(kind, str):
        message = 'config.json lacks model_type; add it, such as "llama"'
        raise InvalidRequest(message, field="model_type", allowed=", ".join(sorted(FAMILIES)))
    family = FAMILIES.get(kind)
    if family is None:
        family = _LLAMA
        assumptions.append(f"model_type {kind!r} is not known here: read as a decoder with a gated feed-forward layer")
    reader = _Reader(config, assumptions)
    return _read(reader, family, kind, name or _name(config, kind))


class _Reader:
    """Fields of one configuration, each checked as it is read."""

    def __init__(self, config: Mapping[str, object], assumptions: list[str]) -> None:
        self.config = config
        self.assumptions = assumptions

    def maybe(self, names: tuple[str, ...], *, most: int = MOST_WIDTH, least: int = 1) -> int | None:
        """The first of `names` that the file sets; contradicting synonyms are refused."""
        found: dict[str, int] = {}
        for name in names:
            if self.config.get(name) is not None:
                found[name] = whole(self.config[name], name, least=least, most=most)
        if len(set(found.values())) > 1:
            message = "config.json contradicts itself: " + ", ".join(f"{k} is {v}" for k, v in found.items())
            raise InvalidRequest(message, field=next(iter(found)), allowed="one value")
        return next(iter(found.values()), None)

    def must(self, names: tuple[str, ...], *, most: int = MOST_WIDTH, least: int = 1) -> int:
        """As `maybe`, and a missing field raises."""
        value = self.maybe(names, most=most, least=least)
        if value is None:
            message = f"config.json lacks {names[0]}"
            raise InvalidRequest(message, field=names[0], allowed=f"a whole number from {least} to {most}")
        return value

    def flag(self, name: str, default: bool) -> bool:
        value = self.config.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise InvalidRequest(f"{name} must be true or false, not {value!r}", field=name, allowed="true or false")
        return value


def _read(reader: _Reader, family: Family, kind: str, name: str) -> Model:
    hidden = reader.must(family.hidden)
    layers = reader.must(family.layers, most=MOST_LAYERS)
    heads = reader.must(family.heads)
    latent = _latent(reader, kind)
    kv_heads = heads if latent is not None else _kv_heads(reader, family, kind, heads)
    context = reader.maybe(family.context, most=1_000_000_000)
    vocab = reader.must(("vocab_size",))
    experts, ffn = _feed_forward(reader, family, kind, hidden, layers)
    positions = 0
    if family.learned_positions and context is not None:
        positions = context + family.extra_positions
    return Model(
        name=name,
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=_head_dim(reader, hidden, heads, latent),
        ffn=ffn,
        vocab=vocab,
        gated=family.gated,
        tied=reader.flag("tie_word_embeddings", family.tied),
        bias=family.bias,
        norm_vectors=family.norm_vectors,
        positions=positions,
        max_context=context,
        window=_window(reader),
        experts=experts,
        latent=latent,
        assumptions=tuple(reader.assumptions),
    )


def _head_dim(reader: _Reader, hidden: int, heads: int, latent: Latent | None) -> int:
    stated = reader.maybe(("head_dim",))
    if latent is not None:
        return latent.nope_dim + latent.rope_dim
    if stated is not None:
        return stated
    if hidden % heads:
        message = f"hidden_size {hidden} is not divisible by num_attention_heads {heads}, and no head_dim is given"
        raise InvalidRequest(message, field="hidden_size", allowed=f"a multiple of {heads}")
    return hidden // heads


def _kv_heads(reader: _Reader, family: Family, kind: str, heads: int) -> int:
    if kind in ("falcon", "RefinedWeb", "RefinedWebModel"):
        grouped = reader.maybe(family.kv_heads)
        if reader.flag("new_decoder_architecture", False):
            return grouped if grouped is not None else heads
        return 1 if reader.flag("multi_query", True) else heads
    if kind == "gpt_bigcode":
        return 1 if reader.flag("multi_query", True) else heads
    stated = reader.maybe(family.kv_heads)
    if stated is None:
        return heads
    if heads % stated:
        message = f"num_attention_heads {heads} is not a multiple of num_key_value_heads {stated}"
        raise InvalidRequest(message, field=family.kv_heads[0], allowed=f"a divisor of {heads}")
    return stated


def _window(reader: _Reader) -> int | None:
    if not reader.flag("use_sliding_window", True):
        return None
    return reader.maybe(("sliding_window",), most=1_000_000_000)


def _latent(reader: _Reader, kind: str) -> Latent | None:
    if kind not in ("deepseek_v2", "deepseek_v3") and reader.config.get("kv_lora_rank") is None:
        return None
    return Latent(
        kv_rank=reader.must(("kv_lora_rank",)),
        q_rank=reader.maybe(("q_lora_rank",)),
        nope_dim=reader.must(("qk_nope_head_dim",)),
        rope_dim=reader.must(("qk_rope_head_dim",)),
        value_dim=reader.must(("v_head_dim",)),
    )


_ROUTED = ("n_routed_experts", "num_local_experts", "num_experts")
_PER_TOKEN = ("num_experts_per_tok",)


def _feed_forward(reader: _Reader, family: Family, kind: str, hidden: int, layers: int) -> tuple[Experts | None, int]:
    routed = reader.maybe(_ROUTED, most=1_000_000)
    if routed is None:
        return None, _dense_width(reader, family, hidden)
    per_token = reader.must(_PER_TOKEN, most=1_000_000)
    if per_token > routed:
        message = f"num_experts_per_tok {per_token} is over the {routed} experts there are"
        raise InvalidRequest(message, field="num_experts_per_tok", allowed=f"1 to {routed}")
    own_width = reader.maybe(("moe_intermediate_size",))
    width = own_width if own_width is not None else reader.must(("intermediate_size",))
    dense = reader.maybe(("intermediate_size_mlp",)) or reader.maybe(("intermediate_size",)) or width
    experts = Experts(
        routed=routed,
        per_token=per_token,
        width=width,
        shared_width=_shared_width(reader, kind, width),
        layers=_expert_layers(reader, layers),
    )
    return experts, dense


def _dense_width(reader: _Reader, family: Family, hidden: int) -> int:
    stated = reader.maybe(family.ffn) if family.ffn else None
    if stated is not None:
        return stated
    if family.ffn_is_four_times:
        if family.ffn:
            reader.assumptions.append(
                f"{family.ffn[0]} is not set: 4 × hidden = {4 * hidden}, the family's own default"
            )
        return 4 * hidden
    return reader.must(family.ffn)


def _shared_width(reader: _Reader, kind: str, width: int) -> int:
    shared = reader.maybe(("shared_expert_intermediate_size",), least=0)
    if shared is not None:
        return shared
    if kind == "llama4_text":
        return width
    return (reader.maybe(("n_shared_experts",), least=0, most=10_000) or 0) * width


def _expert_layers(reader: _Reader, layers: int) -> int:
    dense_first = reader.maybe(("first_k_dense_replace",), least=0, most=MOST_LAYERS) or 0
    if dense_first >= layers:
        message = f"first_k_dense_replace {dense_first} leaves none of the {layers} layers for experts"
        raise InvalidRequest(message, field="first_k_dense_replace", allowed=f"0 to {layers - 1}")
    step = reader.maybe(("decoder_sparse_step", "interleave_moe_layer_step", "moe_layer_freq"), most=MOST_LAYERS) or 1
    return max(1, (layers - dense_first) // step)


def _name(config: Mapping[str, object], kind: str) -> str:
    path = config.get("_name_or_path")
    return path if isinstance(path, str) and path else kind
