"""Models read from configurations and from few numbers, against the counts their makers publish."""

from __future__ import annotations

import math
from typing import Any

import pytest

from suanwang.domain.errors import InvalidRequest
from suanwang.measuring.architectures import model_from_config
from suanwang.measuring.models import Experts, Model, model_of_size

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "intermediate_size": 11008,
    "vocab_size": 32000,
    "max_position_embeddings": 4096,
}
DEEPSEEK_V3: dict[str, Any] = {
    "model_type": "deepseek_v3",
    "hidden_size": 7168,
    "num_hidden_layers": 61,
    "num_attention_heads": 128,
    "num_key_value_heads": 128,
    "intermediate_size": 18432,
    "moe_intermediate_size": 2048,
    "n_routed_experts": 256,
    "n_shared_experts": 1,
    "num_experts_per_tok": 8,
    "first_k_dense_replace": 3,
    "q_lora_rank": 1536,
    "kv_lora_rank": 512,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
    "vocab_size": 129280,
    "max_position_embeddings": 163840,
}
MIXTRAL = LLAMA | {
    "model_type": "mixtral",
    "num_key_value_heads": 8,
    "intermediate_size": 14336,
    "num_local_experts": 8,
    "num_experts_per_tok": 2,
}
# Counts of the weights as published on the hub, safetensors total.
EXACT: list[tuple[dict[str, Any], float]] = [
    (LLAMA, 6_738_415_616),
    (LLAMA | {"num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 128256}, 8_030_261_248),
    ({"model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12, "n_positions": 1024, "vocab_size": 50257}, 124_439_808),
    (
        {
            "model_type": "opt", "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "ffn_dim": 3072,
            "vocab_size": 50272, "max_position_embeddings": 2048,
        },
        125_239_296,
    ),
    (
        {
            "model_type": "gpt_neox", "hidden_size": 6144, "num_hidden_layers": 44, "num_attention_heads": 64,
            "intermediate_size": 24576, "vocab_size": 50432,
        },
        20_554_567_680,
    ),
    (
        {
            "model_type": "qwen2", "hidden_size": 3584, "num_hidden_layers": 28, "num_attention_heads": 28,
            "num_key_value_heads": 4, "intermediate_size": 18944, "vocab_size": 152064,
        },
        7_615_616_512,
    ),
    (MIXTRAL, 46_702_792_704),
]  # fmt: skip


@pytest.mark.parametrize(
    ("config", "published"), EXACT, ids=lambda value: str(value.get("model_type")) if isinstance(value, dict) else ""
)
def test_parameters_equal_the_published_weights(config: dict[str, Any], published: float) -> None:
    assert model_from_config(config).parameters == published


@pytest.mark.parametrize(
    ("config", "published"),
    [
        ({"model_type": "bloom", "n_embed": 14336, "n_layer": 70, "n_head": 112, "vocab_size": 250880}, 176_247_271_424),
        (
            {
                "model_type": "falcon", "hidden_size": 4544, "num_hidden_layers": 32, "num_attention_heads": 71,
                "vocab_size": 65024, "multi_query": True,
            },
            6_921_720_704,
        ),
    ],
)  # fmt: skip
def test_families_with_odd_norms_come_within_a_tenth_of_a_percent(config: dict[str, Any], published: float) -> None:
    assert model_from_config(config).parameters == pytest.approx(published, rel=1e-3)


def test_a_mixture_counts_what_one_token_passes() -> None:
    model = model_from_config(DEEPSEEK_V3)
    assert model.parameters == pytest.approx(671e9, rel=1e-3)
    assert model.active_parameters == pytest.approx(37e9, rel=0.02)
    mixtral = model_from_config(MIXTRAL)
    assert mixtral.active_parameters == pytest.approx(12.88e9, rel=1e-3)


def test_latent_attention_caches_the_latent_vector() -> None:
    # DeepSeek-V2 2024, table 1: d_c + d_R of each layer.
    assert model_from_config(DEEPSEEK_V3).kv_values_per_token == 61 * (512 + 64)
    assert model_from_config(LLAMA).kv_values_per_token == 2 * 32 * 4096


def test_a_model_of_one_number_keeps_it_and_says_what_was_assumed() -> None:
    model = model_of_size(7e9)
    assert model.parameters == 7e9
    assert any("hidden size" in line for line in model.assumptions)
    assert any("layers" in line for line in model.assumptions)
    assert 12 * model.layers * model.hidden**2 == pytest.approx(7e9, rel=0.15)


def test_an_unknown_family_is_read_as_a_decoder_and_said() -> None:
    model = model_from_config(LLAMA | {"model_type": "novel"})
    assert model.parameters == 6_738_415_616
    assert any("novel" in line for line in model.assumptions)


def test_towers_beside_the_language_model_are_named() -> None:
    model = model_from_config(
        {"model_type": "gemma3", "text_config": LLAMA | {"model_type": "gemma3_text", "head_dim": 128}}
    )
    assert any("text_config" in line for line in model.assumptions)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"hidden_size": None}, "hidden_size"),
        ({"hidden_size": 4097}, "hidden_size"),
        ({"hidden_size": -4096}, "hidden_size"),
        ({"hidden_size": 4096.5}, "hidden_size"),
        ({"hidden_size": "4096"}, "hidden_size"),
        ({"hidden_size": True}, "hidden_size"),
        ({"hidden_size": math.nan}, "hidden_size"),
        ({"hidden_size": 10**400}, "hidden_size"),
        ({"num_hidden_layers": 1_000_000_000}, "num_hidden_layers"),
        ({"num_hidden_layers": 0}, "num_hidden_layers"),
        ({"num_attention_heads": 0}, "num_attention_heads"),
        ({"num_key_value_heads": 5}, "num_key_value_heads"),
        ({"vocab_size": None}, "vocab_size"),
        ({"intermediate_size": None}, "intermediate_size"),
        ({"model_type": None}, "model_type"),
        ({"tie_word_embeddings": "yes"}, "tie_word_embeddings"),
        ({"num_local_experts": 8}, "num_experts_per_tok"),
        ({"num_local_experts": 8, "num_experts_per_tok": 9}, "num_experts_per_tok"),
        ({"n_routed_experts": 8, "num_local_experts": 16, "num_experts_per_tok": 2}, "n_routed_experts"),
    ],
)
def test_a_bad_configuration_names_its_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        model_from_config(LLAMA | change)
    assert caught.value.field == field
    assert caught.value.allowed


@pytest.mark.parametrize("parameters", [0, -1, math.nan, math.inf, 1e30, "7B", True, 10**400])
def test_absurd_sizes_are_refused(parameters: object) -> None:
    with pytest.raises(InvalidRequest) as caught:
        model_of_size(parameters)
    assert caught.value.field == "model.parameters"


def test_numbers_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="contradicts"):
        model_of_size(7e9, layers=80, hidden=8192)
    with pytest.raises(InvalidRequest, match=r"over model\.parameters"):
        model_of_size(7e9, active_parameters=8e9)
    with pytest.raises(InvalidRequest, match="contradicts"):
        model_of_size(7e9, hidden=100)


@pytest.mark.parametrize(
    ("experts", "field"),
    [
        (Experts(routed=8, per_token=9, width=64, layers=2), "model.experts.per_token"),
        (Experts(routed=8, per_token=2, width=64, layers=3), "model.experts.layers"),
        (Experts(routed=8, per_token=2, width=0, layers=2), "model.experts.width"),
    ],
)
def test_a_mixture_that_cannot_be_is_refused(experts: Experts, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Model(name="x", layers=2, hidden=64, heads=4, kv_heads=4, head_dim=16, ffn=256, vocab=100, experts=experts)
    assert caught.value.field == field
