"""Operations and memory against the equations of the papers, written down a second time."""

from __future__ import annotations

import pytest

from suanwang.domain.precision import Precision
from suanwang.measuring.flops import (
    FLOPS_PER_PD,
    Recompute,
    adapter_parameters,
    adapter_work,
    forward_flops_per_token,
    recompute_factor,
    six_nd,
    training_work,
)
from suanwang.measuring.memory import (
    Zero,
    activation_bytes_per_layer,
    adapter_memory,
    kv_bytes_per_token,
    state_bytes,
    training_memory,
)
from suanwang.measuring.models import Bias, Model, model_of_size

GPT = Model(
    name="plain GPT", layers=24, hidden=2304, heads=24, kv_heads=24, head_dim=96, ffn=4 * 2304, vocab=51200, gated=False,
    tied=True,
)  # fmt: skip


def test_gpt3_takes_its_published_petaflops_days() -> None:
    # Brown 2020, table D.1: 174,600 M parameters, 300 B tokens, 3.64E+03 PF-days.
    model = model_of_size(174.6e9, layers=96, hidden=12288)
    work = training_work(model, tokens=300e9, context=2048, recompute=Recompute.NONE)
    assert work.simple / FLOPS_PER_PD == pytest.approx(3640, rel=0.005)
    assert work.model > work.simple


def test_iteration_matches_narayanan() -> None:
    """Narayanan 2021, eq. 3: F = 96·B·s·l·h²·(1 + s/(6h) + V/(16·l·h)) with whole layers recomputed.

    Their count holds the full attention matrix and recomputes no output head.
    """
    batch, sequence, layers, hidden, vocab = 512, 2048, GPT.layers, GPT.hidden, GPT.vocab
    theirs = 96 * batch * sequence * layers * hidden**2 * (1 + sequence / (6 * hidden) + vocab / (16 * layers * hidden))
    head = 2 * hidden * vocab
    layer_forward = forward_flops_per_token(GPT, sequence) - head
    ours = batch * sequence * (4 * layer_forward + 3 * head)
    assert ours == pytest.approx(theirs, rel=2e-3)


def test_recomputation_repeats_what_it_says() -> None:
    assert recompute_factor(GPT, 2048, Recompute.NONE) == 1
    assert recompute_factor(GPT, 2048, Recompute.FULL) == pytest.approx(4 / 3)
    # Korthikanti 2022, section 5: attention's share is about s/6h of a layer for the full matrix, half of it when causal.
    assert recompute_factor(GPT, 2048, Recompute.SELECTIVE) == pytest.approx(1 + 2048 / (12 * GPT.hidden) / 3, rel=0.15)


def test_a_window_bounds_attention() -> None:
    wide = forward_flops_per_token(GPT, 100_000)
    narrow = Model(
        name="windowed", layers=24, hidden=2304, heads=24, kv_heads=24, head_dim=96, ffn=4 * 2304, vocab=51200,
        gated=False, tied=True, window=4096,
    )  # fmt: skip
    assert forward_flops_per_token(narrow, 100_000) == forward_flops_per_token(narrow, 4096)
    assert forward_flops_per_token(narrow, 100_000) < wide


def test_adapters_cost_two_thirds_and_little_memory() -> None:
    full = training_work(GPT, tokens=1e9, context=1024, recompute=Recompute.NONE)
    adapters = adapter_work(GPT, tokens=1e9, context=1024, rank=8, recompute=Recompute.NONE)
    assert adapters.model == pytest.approx(full.model * 2 / 3, rel=0.02)
    assert adapter_parameters(GPT, 16) == 2 * adapter_parameters(GPT, 8)
    assert adapter_parameters(GPT, 8) < 0.01 * GPT.parameters


def test_six_nd_is_six_nd() -> None:
    assert six_nd(7e9, 1e12) == 4.2e22


def test_zero_splits_sixteen_bytes() -> None:
    """Rajbhandari 2020, figure 1: 7.5 B parameters over 64 cards take 120, 31.4, 16.6 and 1.9 GB."""
    model = model_of_size(7.5e9)
    for zero, published in [
        (Zero.NOTHING, 120.0), (Zero.OPTIMIZER, 31.4), (Zero.GRADIENTS, 16.6), (Zero.PARAMETERS, 1.9),
    ]:  # fmt: skip
        memory = training_memory(
            model, tensor=1, pipeline=1, data=64, expert=1, zero=zero, recompute=Recompute.FULL, micro_batch=1, context=1,
            precision=Precision.FP16,
        )  # fmt: skip
        states = memory.weights_gb + memory.gradients_gb + memory.optimizer_gb
        gathered = 2 * model.parameters / model.layers * 2 / 1e9 if zero is Zero.PARAMETERS else 0
        assert states - gathered == pytest.approx(published, rel=0.02)


def test_activations_follow_korthikanti() -> None:
    """Eq. 4 and 6 for a plain GPT: s·b·h·(34 + 5·a·s/h)/t and 34·s·b·h/t; section 5: 2·s·b·h/t."""
    s, b, h, a, t = 2048, 4, GPT.hidden, GPT.heads, 8
    base = s * b * h / t
    for recompute, factor in [
        (Recompute.NONE, 34 + 5 * a * s / h), (Recompute.SELECTIVE, 34), (Recompute.FULL, 2),
    ]:  # fmt: skip
        found = activation_bytes_per_layer(GPT, micro_batch=b, context=s, tensor=t, recompute=recompute)
        assert found == pytest.approx(base * factor, rel=1e-9)


def test_grouped_keys_shrink_activations_and_cache() -> None:
    grouped = Model(
        name="grouped",
        layers=24,
        hidden=2304,
        heads=24,
        kv_heads=4,
        head_dim=96,
        ffn=4 * 2304,
        vocab=51200,
        gated=False,
    )
    kwargs = {"micro_batch": 1, "context": 1024, "tensor": 1}
    assert activation_bytes_per_layer(grouped, recompute=Recompute.SELECTIVE, **kwargs) < activation_bytes_per_layer(
        GPT, recompute=Recompute.SELECTIVE, **kwargs
    )
    assert kv_bytes_per_token(grouped, Precision.FP16) * 6 == kv_bytes_per_token(GPT, Precision.FP16)
    assert kv_bytes_per_token(GPT, Precision.INT8) * 2 == kv_bytes_per_token(GPT, Precision.FP16)


def test_four_bit_weights_quarter_the_frozen_part() -> None:
    def weights(precision: Precision) -> float:
        return adapter_memory(
            GPT, tensor=1, pipeline=1, data=1, zero=Zero.OPTIMIZER, recompute=Recompute.FULL, micro_batch=1, context=128,
            rank=8, weights_precision=precision,
        ).weights_gb  # fmt: skip

    trained = adapter_parameters(GPT, 8) * 2 / 1e9
    assert weights(Precision.INT4) - trained == pytest.approx((weights(Precision.BF16) - trained) / 4)


def test_single_precision_has_no_master_copy() -> None:
    assert sum(state_bytes(Precision.FP32)) == 16
    assert sum(state_bytes(Precision.BF16)) == 16


def test_biases_and_positions_are_counted() -> None:
    plain = GPT.parameters
    with_bias = Model(
        name="b", layers=24, hidden=2304, heads=24, kv_heads=24, head_dim=96, ffn=4 * 2304, vocab=51200, gated=False,
        tied=True, bias=Bias.ALL, positions=2048,
    ).parameters  # fmt: skip
    per_layer = 3 * 2304 + 2304 + 4 * 2304 + 2304
    assert with_bias - plain == 24 * per_layer + 2048 * 2304 + 2304
