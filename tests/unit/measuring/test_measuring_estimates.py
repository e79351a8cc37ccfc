"""Estimates of every kind of need: figures, splits, reasons for not fitting, and what is assumed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from types import MappingProxyType

import pytest

from suanwang.domain.errors import InvalidRequest
from suanwang.domain.precision import DeviceKind, Precision
from suanwang.measuring.architectures import model_from_config
from suanwang.measuring.calibration import NOTHING_LEARNT, Observation, learn
from suanwang.measuring.cores import ProcessorProfile
from suanwang.measuring.estimating import estimate
from suanwang.measuring.fitness import DoesNotFit, fit, serves
from suanwang.measuring.flops import Recompute
from suanwang.measuring.memory import Zero, room_gb
from suanwang.measuring.models import model_of_size
from suanwang.measuring.need import (
    CoreHoursNeed,
    FineTuneNeed,
    InferenceNeed,
    Method,
    SampleNeed,
    SimulationNeed,
    TrainingNeed,
)
from suanwang.measuring.outcome import Site
from suanwang.measuring.profile import REFERENCE, DeviceProfile
from suanwang.measuring.workclass import WorkClass

H100 = DeviceProfile(
    name="h100",
    kind=DeviceKind.GPU,
    rates=MappingProxyType(
        {
            Precision.FP64: 33.5,
            Precision.FP64_TENSOR: 67.0,
            Precision.FP32: 67.0,
            Precision.TF32: 494.7,
            Precision.BF16: 989.4,
            Precision.FP16: 989.4,
            Precision.FP8: 1978.9,
            Precision.INT8: 1978.9,
        }
    ),
    memory_gb=80,
    memory_bandwidth_gb_s=3352,
    intra_link_gb_s=450,
    inter_link_gb_s=50,
    power_w=700,
)
ASCEND = DeviceProfile(
    name="ascend",
    kind=DeviceKind.NPU,
    rates=MappingProxyType({Precision.FP16: 320.0, Precision.INT8: 640.0}),
    memory_gb=64,
    memory_bandwidth_gb_s=1600,
    power_w=310,
)
LLAMA3_8B = model_from_config(
    {
        "model_type": "llama",
        "hidden_size": 4096,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "intermediate_size": 14336,
        "vocab_size": 128256,
        "max_position_embeddings": 8192,
        "tie_word_embeddings": False,
    },
    name="Llama 3 8B",
)
LLAMA3_70B = replace(LLAMA3_8B, name="Llama 3 70B", hidden=8192, layers=80, heads=64, ffn=28672)


def test_training_gives_every_figure_that_is_asked_of_it() -> None:
    found = estimate(TrainingNeed(model=LLAMA3_8B, tokens=2e12), H100, 256, site=Site(pue=1.2))
    assert found.work_class is WorkClass.DENSE_TRAINING
    assert found.work_pd == pytest.approx(6 * 8.03e9 * 2e12 / 8.64e19, rel=1e-3)
    assert found.cards == 256
    assert found.hours.low < found.hours.mid < found.hours.high
    assert found.card_hours.mid == pytest.approx(256 * found.hours.mid)
    assert found.mfu is not None
    assert 0.1 < found.mfu.mid < 0.5
    # 6ND over hours, cards and peak is the MFU, but for attention and embeddings.
    implied = found.counted_pd * 24 / (found.card_hours.mid * 989.4e-3)
    assert implied == pytest.approx(found.mfu.mid, rel=1e-6)
    assert found.energy_kwh is not None
    assert found.energy_kwh.mid == pytest.approx(found.card_hours.mid * 0.7 * 1.1 * 1.2)
    assert found.step_s is not None
    assert found.step_s.mid * 2e12 / 4e6 == pytest.approx(found.hours.mid * 3600)
    assert "sequence length 8192 taken from max_position_embeddings" in found.assumptions
    assert any("global batch" in line for line in found.assumptions)


def test_a_split_divides_heads_layers_and_nodes_and_fits_the_memory() -> None:
    found = estimate(TrainingNeed(model=LLAMA3_70B, tokens=1e12), H100, 512)
    split, memory = found.split, found.memory
    assert split is not None
    assert memory is not None
    assert split.cards == 512
    assert LLAMA3_70B.heads % split.tensor == 0
    assert LLAMA3_70B.layers % split.pipeline == 0
    assert H100.per_node % split.tensor == 0
    assert split.cards % H100.per_node == 0
    assert memory.total_gb <= room_gb(H100.memory_gb) + 1e-9


def test_the_least_number_of_cards_holds_the_work_and_one_fewer_does_not() -> None:
    need = TrainingNeed(model=LLAMA3_8B, tokens=1e9, context=4096)
    least = estimate(need, REFERENCE).least_cards
    assert estimate(need, REFERENCE).cards >= least
    assert estimate(need, REFERENCE, least).cards == least
    # 16 bytes a parameter and a card's share of activations: two cards at the very least.
    assert least >= math.ceil(8.03 * 16 / 80)
    with pytest.raises(DoesNotFit) as caught:
        estimate(need, REFERENCE, least - 1)
    assert caught.value.field == "count"
    assert str(least) in str(caught.value.allowed)


def test_more_cards_finish_sooner_at_hardly_more_card_hours() -> None:
    need = TrainingNeed(model=LLAMA3_70B, tokens=1e12)
    few, many = estimate(need, H100, 128), estimate(need, H100, 1024)
    assert many.hours.mid < few.hours.mid / 6
    assert many.card_hours.mid < few.card_hours.mid * 1.4


def test_cards_beyond_what_the_batch_divides_stay_idle_and_are_paid() -> None:
    need = TrainingNeed(model=LLAMA3_8B, tokens=1e12, context=4096, global_batch_tokens=65536)
    found = estimate(need, H100, 4096)
    assert any("stay idle" in line for line in found.assumptions)
    assert found.card_hours.mid == pytest.approx(4096 * found.hours.mid)


def test_slow_links_bound_a_step() -> None:
    slow = replace(H100, inter_link_gb_s=0.001)
    need = TrainingNeed(model=LLAMA3_8B, tokens=1e12)
    assert estimate(need, slow, 512).hours.mid > 2 * estimate(need, H100, 512).hours.mid
    assert any("links are the limit" in line for line in estimate(need, slow, 512).assumptions)
    unknown = replace(H100, inter_link_gb_s=None)
    assert any("links of the device are unknown" in line for line in estimate(need, unknown, 512).assumptions)


def test_layers_are_recomputed_only_where_memory_is_short() -> None:
    need = TrainingNeed(model=LLAMA3_70B, tokens=1e10)
    roomy = estimate(need, REFERENCE, 256)
    tight = estimate(need, REFERENCE, roomy.least_cards)
    assert any("of the layers recomputed" in line for line in tight.assumptions)
    assert not any("of the layers recomputed" in line for line in roomy.assumptions)
    assert tight.card_hours.mid > roomy.card_hours.mid
    full = estimate(replace(need, recompute=Recompute.FULL), REFERENCE, 256)
    assert full.card_hours.mid == pytest.approx(roomy.card_hours.mid * 4 / 3, rel=0.05)


def test_a_model_that_fits_nowhere_is_refused_with_a_reason() -> None:
    tiny = replace(REFERENCE, name="tiny", memory_gb=4, memory_bandwidth_gb_s=100)
    with pytest.raises(DoesNotFit) as caught:
        estimate(TrainingNeed(model=model_of_size(1e14), tokens=1e12), tiny)
    assert caught.value.field == "device"
    assert "fits no sound split" in caught.value.message
    with pytest.raises(DoesNotFit) as caught:
        estimate(InferenceNeed(model=model_of_size(1e14), prompt_tokens=10, output_tokens=10, requests_per_s=1), tiny)
    assert caught.value.field == "device"


def test_zero_stage_given_is_zero_stage_taken() -> None:
    found = estimate(TrainingNeed(model=LLAMA3_8B, tokens=1e10, zero=Zero.PARAMETERS), REFERENCE, 64)
    assert found.split is not None
    assert found.split.zero is Zero.PARAMETERS


def test_eight_bit_training_is_faster_but_not_twice() -> None:
    sixteen = estimate(TrainingNeed(model=LLAMA3_70B, tokens=1e12), H100, 256)
    eight = estimate(TrainingNeed(model=LLAMA3_70B, tokens=1e12, precision=Precision.FP8), H100, 256)
    assert 1.2 < sixteen.hours.mid / eight.hours.mid < 1.6


def test_a_lower_precision_than_needed_is_infeasible_with_a_reason() -> None:
    with pytest.raises(DoesNotFit, match="exponent of FP32") as caught:
        estimate(TrainingNeed(model=LLAMA3_8B, tokens=1e9), ASCEND, 64)
    assert caught.value.field == "precision"
    with pytest.raises(DoesNotFit, match="53 bits"):
        estimate(SimulationNeed(operations=1e15, bytes_moved=1e15), ASCEND)
    assert estimate(TrainingNeed(model=LLAMA3_8B, tokens=1e9, precision=Precision.FP16), ASCEND, 64).cards == 64


def test_a_higher_precision_than_needed_shows_its_waste() -> None:
    found = estimate(TrainingNeed(model=LLAMA3_8B, tokens=1e11, precision=Precision.TF32), REFERENCE, 64)
    assert found.waste is not None
    assert found.waste.sufficient is Precision.BF16
    assert found.waste.card_hours == pytest.approx(found.card_hours.mid / 2, rel=0.05)
    assert found.waste.energy_kwh is not None
    assert found.waste.energy_kwh > 0
    money = found.waste.money(price_per_card_hour=Decimal(10))
    assert float(money) == pytest.approx(found.waste.card_hours * 10)
    assert estimate(TrainingNeed(model=LLAMA3_8B, tokens=1e11), REFERENCE, 64).waste is None


@pytest.mark.parametrize(
    ("offered", "needed", "good"),
    [
        (Precision.FP32, Precision.BF16, True),
        (Precision.TF32, Precision.BF16, True),
        (Precision.FP16, Precision.BF16, False),
        (Precision.BF16, Precision.FP16, False),
        (Precision.FP64, Precision.FP32, True),
        (Precision.FP32, Precision.FP64, False),
        (Precision.FP16, Precision.INT8, True),
        (Precision.INT8, Precision.FP16, False),
        (Precision.FP8, Precision.BF16, False),
    ],
)
def test_which_format_stands_in_for_which(offered: Precision, needed: Precision, good: bool) -> None:
    assert serves(offered, needed) is good


def test_a_device_without_the_format_computes_in_the_next_finer_one() -> None:
    found = fit(Precision.FP8, REFERENCE)
    assert found.used is Precision.BF16 or found.used is Precision.FP16
    assert found.too_high
    assert not fit(Precision.BF16, REFERENCE).too_high


def test_adapters_need_fewer_cards_than_full_tuning() -> None:
    full = estimate(FineTuneNeed(model=LLAMA3_70B, tokens=1e8, context=2048), REFERENCE)
    adapters = estimate(FineTuneNeed(model=LLAMA3_70B, tokens=1e8, context=2048, method=Method.LORA), REFERENCE)
    four_bits = estimate(
        FineTuneNeed(model=LLAMA3_70B, tokens=1e8, context=2048, method=Method.LORA, weights_precision=Precision.INT4),
        REFERENCE,
    )
    assert four_bits.cards < adapters.cards < full.cards
    assert full.work_class is WorkClass.FINE_TUNING
    assert adapters.work_class is WorkClass.ADAPTER_TUNING
    assert adapters.work_pd == pytest.approx(full.work_pd * 2 / 3, rel=0.01)


def test_epochs_multiply_the_work() -> None:
    once = estimate(FineTuneNeed(model=LLAMA3_8B, tokens=1e8), H100, 8)
    thrice = estimate(FineTuneNeed(model=LLAMA3_8B, tokens=1e8, epochs=3), H100, 8)
    assert thrice.hours.mid == pytest.approx(3 * once.hours.mid)


def _serving(**changes: object) -> InferenceNeed:
    base = InferenceNeed(
        model=LLAMA3_8B, prompt_tokens=1000, output_tokens=200, requests_per_s=10, ttft_s=1.0, tpot_s=0.05, hours=24
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def test_serving_keeps_its_targets_and_its_memory() -> None:
    found = estimate(_serving(), H100)
    serving, memory = found.serving, found.memory
    assert serving is not None
    assert memory is not None
    assert serving.tpot_s.mid <= 0.05
    assert serving.ttft_s.mid <= 1.0
    assert serving.replicas * serving.requests_per_s.mid >= 10
    assert memory.total_gb <= room_gb(80)
    assert memory.weights_gb == pytest.approx(16.06 / serving.tensor, rel=0.01)
    assert found.hours.mid == 24
    assert found.card_hours.mid == 24 * found.cards
    assert found.least_cards == found.cards


def test_serving_is_bound_by_bandwidth_at_small_batches() -> None:
    """Pope 2022, section 2: one sequence's step lasts as long as the weights take to read."""
    found = estimate(_serving(requests_per_s=0.001, ttft_s=None, tpot_s=0.0101, output_tokens=1, prompt_tokens=1), H100)
    assert found.serving is not None
    floor = 8.03e9 * 2 / (3352e9 * 0.6)
    assert found.serving.tpot_s.mid >= floor


def test_tighter_targets_never_take_fewer_cards() -> None:
    cards = [estimate(_serving(tpot_s=target), H100).cards for target in (0.2, 0.05, 0.012)]
    assert cards == sorted(cards)


@pytest.mark.parametrize(("changes", "field"), [({"ttft_s": 1e-4}, "ttft_s"), ({"tpot_s": 1e-5}, "tpot_s")])
def test_a_target_nobody_can_keep_is_named(changes: dict[str, object], field: str) -> None:
    with pytest.raises(DoesNotFit) as caught:
        estimate(_serving(**changes), H100)
    assert caught.value.field == field


def test_too_few_cards_for_a_rate_are_refused() -> None:
    with pytest.raises(DoesNotFit) as caught:
        estimate(_serving(requests_per_s=1000), H100, 2)
    assert caught.value.field == "count"


def test_small_formats_serve_on_fewer_cards_and_the_waste_of_large_ones_shows() -> None:
    sixteen = estimate(_serving(requests_per_s=100), H100)
    eight = estimate(_serving(requests_per_s=100, precision=Precision.INT8), H100)
    assert eight.cards < sixteen.cards
    assert sixteen.waste is not None
    assert eight.waste is None


def test_a_network_by_operations_per_sample() -> None:
    need = SampleNeed(flops_per_sample=8.2e9, samples=1_281_167, epochs=90)
    found = estimate(need, REFERENCE, 8)
    assert found.work_pd == pytest.approx(8.2e9 * 1_281_167 * 90 * 3 / 8.64e19)
    # About 3,000 images a second on one A100: 10.7 card-hours.
    assert found.card_hours.low < 1_281_167 * 90 / 3000 / 3600 < found.card_hours.high
    inference = estimate(replace(need, training=False, precision=Precision.INT8), REFERENCE)
    assert inference.work_class is WorkClass.VISION_INFERENCE
    with pytest.raises(DoesNotFit, match="GB on each card"):
        estimate(replace(need, memory_gb=200), REFERENCE)


def test_a_simulation_takes_the_longer_of_operations_and_traffic() -> None:
    bound = estimate(SimulationNeed(operations=1e15, bytes_moved=1e17), REFERENCE)
    assert bound.hours.mid == pytest.approx(1e17 / 2.039e12 / 0.6 / 3600, rel=1e-6)
    computing = estimate(SimulationNeed(operations=1e18, bytes_moved=1e15), REFERENCE)
    assert computing.hours.mid == pytest.approx(1e18 / 9.7e12 / 0.6 / 3600, rel=1e-6)
    spread = estimate(SimulationNeed(operations=1e18, bytes_moved=1e15, memory_gb=500), REFERENCE)
    assert spread.cards == math.ceil(500 / room_gb(80))


def test_core_hours_on_a_processor() -> None:
    socket = ProcessorProfile(name="cpu", cores=64, core_gflops=32.0, power_w=280)
    found = estimate(CoreHoursNeed(core_hours=6400), socket)
    assert found.cards == 64
    assert found.hours.mid == pytest.approx(100)
    halved = estimate(CoreHoursNeed(core_hours=6400, serial_share=0.5), socket)
    assert halved.hours.mid == pytest.approx(6400 * (0.5 + 0.5 / 64))
    slower = estimate(CoreHoursNeed(core_hours=6400, reference_gflops=64.0), socket)
    assert slower.hours.mid == pytest.approx(200)


@pytest.mark.parametrize(
    "attempt",
    [
        lambda: estimate(CoreHoursNeed(core_hours=1), REFERENCE),
        lambda: estimate(TrainingNeed(model=LLAMA3_8B, tokens=1), ProcessorProfile(name="cpu", cores=8)),
    ],
)
def test_work_on_the_wrong_kind_of_device_is_refused(attempt: Callable[[], object]) -> None:
    with pytest.raises(DoesNotFit) as caught:
        attempt()
    assert caught.value.field == "device"


def test_finished_runs_correct_the_next_estimate() -> None:
    need = TrainingNeed(model=LLAMA3_8B, tokens=1e12)
    before = estimate(need, ASCEND if Precision.BF16 in ASCEND.rates else H100, 64)
    state = NOTHING_LEARNT
    for number in range(6):
        state = learn(
            state,
            Observation(
                run=f"run-{number}", device="h100", work_class=WorkClass.DENSE_TRAINING,
                predicted_hours=100.0, measured_hours=80.0,
            ),
        ).state  # fmt: skip
    after = estimate(need, H100, 64, state)
    assert after.hours.mid < before.hours.mid
    assert after.hours.log_half_width < before.hours.log_half_width
    assert any("6 finished runs" in line for line in after.assumptions)


@pytest.mark.parametrize("count", [0, -1, 10**9, True, 2.5, math.nan])
def test_an_absurd_count_is_refused(count: int) -> None:
    with pytest.raises(InvalidRequest) as caught:
        estimate(TrainingNeed(model=LLAMA3_8B, tokens=1e12), H100, count)
    assert caught.value.field == "count"


@pytest.mark.parametrize(
    ("build", "field"),
    [
        (lambda: TrainingNeed(model=LLAMA3_8B, tokens=0), "tokens"),
        (lambda: TrainingNeed(model=LLAMA3_8B, tokens=math.nan), "tokens"),
        (lambda: TrainingNeed(model=LLAMA3_8B, tokens=1e30), "tokens"),
        (lambda: TrainingNeed(model=LLAMA3_8B, tokens=1e9, precision=Precision.INT4), "precision"),
        (
            lambda: TrainingNeed(model=LLAMA3_8B, tokens=1e9, context=4096, global_batch_tokens=100),
            "global_batch_tokens",
        ),
        (lambda: TrainingNeed(model=LLAMA3_8B, tokens=1e9, micro_batch=0), "micro_batch"),
        (lambda: FineTuneNeed(model=LLAMA3_8B, tokens=1e9, epochs=-1), "epochs"),
        (lambda: FineTuneNeed(model=LLAMA3_8B, tokens=1e9, rank=0), "rank"),
        (lambda: _serving(prompt_tokens=8192), "prompt_tokens"),
        (lambda: _serving(requests_per_s=0), "requests_per_s"),
        (lambda: _serving(ttft_s=-1.0), "ttft_s"),
        (lambda: SampleNeed(flops_per_sample=-1, samples=1), "flops_per_sample"),
        (lambda: SimulationNeed(operations=1e15, bytes_moved=0), "bytes_moved"),
        (lambda: CoreHoursNeed(core_hours=1, serial_share=1.5), "serial_share"),
        (lambda: Site(pue=0.9), "pue"),
        (lambda: replace(REFERENCE, memory_gb=0), "device.memory_gb"),
        (lambda: replace(REFERENCE, rates={Precision.BF16: math.inf}), "device.rates.bf16"),
    ],
)
def test_bad_needs_name_their_field(build: Callable[[], object], field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        build()
    assert caught.value.field == field
    assert caught.value.allowed
