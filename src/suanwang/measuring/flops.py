"""Operations of language models. Owns the counts; knows nothing of devices, time or efficiency.

A multiplication with its addition counts as two operations. Work is given in PetaFLOPS-days (算力当量, PD).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from suanwang.measuring.models import Model

FLOPS_PER_PD = 1e15 * 86_400
"""10^15 operations a second for a day."""


class Recompute(StrEnum):
    """How much of the forward pass is computed again for the backward pass (Korthikanti 2022, section 5)."""

    NONE = "none"
    SELECTIVE = "selective"
    """Attention only, as fused attention kernels do by themselves."""
    FULL = "full"
    """Whole layers: only their inputs are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingWork:
    """Operations of a training run."""

    simple: float
    """6·N·D, the published convention (Kaplan 2020, section 2.1 and table 1)."""
    model: float
    """Counted layer by layer with attention, each needed operation once."""
    hardware: float
    """`model` and what recomputation repeats: what the cards really do."""


def six_nd(active_parameters: float, tokens: float) -> float:
    """Operations of training by the rule C ≈ 6·N·D (Kaplan 2020, section 2.1; N active ones for a mixture of
    experts)."""
    return 6 * active_parameters * tokens


def attention_flops_per_token(model: Model, attended: float) -> float:
    """Forward operations of scores and weighted values for one token that attends to `attended` tokens on average.

    2·2·L·attended·width: PaLM 2022, appendix B (12·L·H·Q·T for three passes) with the tokens really attended to.
    """
    reach = attended if model.window is None else min(attended, float(model.window))
    return 4 * model.layers * model.attention_width * reach


def forward_flops_per_token(model: Model, attended: float) -> float:
    """Forward operations of one token: 2 per active matrix parameter (Kaplan 2020, eq. 2.2) and attention."""
    return 2 * model.matrix_parameters + attention_flops_per_token(model, attended)


def recompute_factor(model: Model, context: int, recompute: Recompute) -> float:
    """Operations done over operations needed: 4/3 for whole layers (Narayanan 2021, appendix), 1 + attention's
    share/3 for attention alone (Korthikanti 2022, section 5)."""
    match recompute:
        case Recompute.NONE:
            return 1.0
        case Recompute.FULL:
            return 4 / 3
        case Recompute.SELECTIVE:
            attended = context / 2
            share = attention_flops_per_token(model, attended) / forward_flops_per_token(model, attended)
            return 1 + share / 3


def training_work(model: Model, *, tokens: float, context: int, recompute: Recompute) -> TrainingWork:
    """Operations of training on `tokens` in sequences of `context`: the backward pass costs twice the forward pass.

    Causal attention sees half of the sequence on average; masked scores are not counted, since today's kernels skip
    them.
    """
    needed = 3 * forward_flops_per_token(model, context / 2) * tokens
    return TrainingWork(
        simple=six_nd(model.active_parameters, tokens),
        model=needed,
        hardware=needed * recompute_factor(model, context, recompute),
    )


def adapter_parameters(model: Model, rank: int) -> float:
    """Trainable parameters of low-rank adapters of `rank` on every linear layer (Hu 2021, section 4.1: r·(d + k)
    each)."""
    queries, keys = model.heads * model.head_dim, model.kv_heads * model.head_dim
    attention = 2 * (model.hidden + queries) + 2 * (model.hidden + keys)
    feed_forward = (3 if model.gated else 2) * (model.hidden + model.ffn)
    return float(rank * model.layers * (attention + feed_forward))


def adapter_work(model: Model, *, tokens: float, context: int, rank: int, recompute: Recompute) -> TrainingWork:
    """Operations of training adapters: frozen weights need no gradient of their own, so the backward pass costs as much
    as the forward pass (Hu 2021, section 4), and the adapters themselves three passes."""
    forward = forward_flops_per_token(model, context / 2)
    extra = 6 * adapter_parameters(model, rank)
    needed = (2 * forward + extra) * tokens
    simple = (4 * model.active_parameters + extra) * tokens
    repeated = (recompute_factor(model, context, recompute) - 1) * 3 / 2
    return TrainingWork(simple=simple, model=needed, hardware=needed * (1 + repeated))
