"""Descriptions of decoder language models: dense and mixture-of-experts, grouped and latent attention.

Owns the shape of a model and the count of its parameters. Knows nothing of configuration files, devices or data.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from suanwang.domain.errors import InvalidRequest
from suanwang.measuring.checks import number, whole

MOST_LAYERS = 10_000
MOST_WIDTH = 10_000_000
MOST_PARAMETERS = 1e15
_DEEPEST_ASSUMED = 1000
"""A model with more layers than that says so itself."""


class Bias(StrEnum):
    """Which linear layers carry a bias."""

    NONE = "none"
    QKV = "qkv"
    ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Experts:
    """A mixture of experts in place of a feed-forward layer. Widths are of one expert."""

    routed: int
    per_token: int
    width: int
    shared_width: int = 0
    """Sum of the widths of the experts every token passes."""
    layers: int = 0
    """Layers that hold experts; the others are dense with the model's own `ffn`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Latent:
    """Multi-head latent attention (DeepSeek-V2 2024, section 2.1)."""

    kv_rank: int
    q_rank: int | None
    nope_dim: int
    rope_dim: int
    value_dim: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A decoder-only transformer. `stated_*` are counts its makers give; they then stand instead of the counted
    ones."""

    name: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    vocab: int
    gated: bool = True
    """Three matrices in the feed-forward layer (SwiGLU) instead of two."""
    tied: bool = False
    """One matrix serves as embedding and as output head."""
    bias: Bias = Bias.NONE
    norm_vectors: int = 2
    """Vectors of length `hidden` in the norms of one layer."""
    positions: int = 0
    """Learned position embeddings."""
    max_context: int | None = None
    window: int | None = None
    """Tokens a layer attends to where attention slides."""
    experts: Experts | None = None
    latent: Latent | None = None
    stated_parameters: float | None = None
    stated_active: float | None = None
    assumptions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_shape(self)
        _check_experts(self)
        _check_stated(self)

    @property
    def parameters(self) -> float:
        """All parameters."""
        if self.stated_parameters is not None:
            return self.stated_parameters
        return self._body(self.ffn_parameters, self.expert_parameters) + self._ends()

    @property
    def active_parameters(self) -> float:
        """Parameters one token passes: all of a dense model, the chosen experts' only of a mixture."""
        if self.stated_active is not None:
            return self.stated_active
        if self.experts is None:
            return self.parameters
        return self._body(self.ffn_parameters, self.active_expert_parameters) + self._ends()

    @property
    def matrix_parameters(self) -> float:
        """Active parameters that multiply: without the embedding look-up, with the output head once."""
        if self.experts is None or self.stated_active is None:
            lookup = 0 if self.tied else self.vocab * self.hidden
            return self.active_parameters - lookup - self.positions * self.hidden
        return self.stated_active - self.vocab * self.hidden

    @property
    def attention_parameters(self) -> int:
        """Of one layer."""
        if self.latent is not None:
            return self._latent_parameters(self.latent)
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        weights = 2 * self.hidden * queries + 2 * self.hidden * keys
        if self.bias is Bias.NONE:
            return weights
        return weights + queries + 2 * keys + (self.hidden if self.bias is Bias.ALL else 0)

    @property
    def ffn_parameters(self) -> int:
        """Of one dense layer."""
        weights = (3 if self.gated else 2) * self.hidden * self.ffn
        return weights + (self.ffn + self.hidden if self.bias is Bias.ALL else 0)

    @property
    def expert_parameters(self) -> int:
        """Of one layer with experts, its router with it."""
        return 0 if self.experts is None else self._experts(self.experts, self.experts.routed)

    @property
    def active_expert_parameters(self) -> int:
        """What one token passes in a layer with experts."""
        return 0 if self.experts is None else self._experts(self.experts, self.experts.per_token)

    @property
    def kv_values_per_token(self) -> int:
        """Values cached for one token over all layers: keys and values, or the latent vector (DeepSeek-V2, table 1)."""
        if self.latent is not None:
            return self.layers * (self.latent.kv_rank + self.latent.rope_dim)
        return 2 * self.layers * self.kv_heads * self.head_dim

    @property
    def attention_width(self) -> float:
        """Width of scores and of values together over all heads, halved: `hidden` for plain multi-head attention."""
        if self.latent is not None:
            return self.heads * (self.latent.nope_dim + self.latent.rope_dim + self.latent.value_dim) / 2
        return self.heads * self.head_dim

    def _body(self, dense: int, sparse: int) -> float:
        sparse_layers = 0 if self.experts is None else self.experts.layers
        norms = self.norm_vectors * self.hidden
        every = self.layers * (self.attention_parameters + norms)
        return every + (self.layers - sparse_layers) * dense + sparse_layers * sparse

    def _ends(self) -> int:
        final_norm = self.hidden * (2 if self.bias is Bias.ALL else 1)
        return (1 if self.tied else 2) * self.vocab * self.hidden + self.positions * self.hidden + final_norm

    def _experts(self, experts: Experts, routed: int) -> int:
        matrices = 3 if self.gated else 2
        router = self.hidden * experts.routed
        return matrices * self.hidden * (routed * experts.width + experts.shared_width) + router

    def _latent_parameters(self, latent: Latent) -> int:
        query_width = self.heads * (latent.nope_dim + latent.rope_dim)
        rank = latent.q_rank
        queries = self.hidden * query_width if rank is None else rank * (self.hidden + query_width)
        down = self.hidden * (latent.kv_rank + latent.rope_dim)
        up = latent.kv_rank * self.heads * (latent.nope_dim + latent.value_dim)
        return queries + down + up + self.heads * latent.value_dim * self.hidden


def model_of_size(
    parameters: object,
    *,
    name: str = "",
    active_parameters: object = None,
    layers: object = None,
    hidden: object = None,
    vocab: object = None,
    max_context: int | None = None,
) -> Model:
    """A model known by few numbers. What is not given takes the usual shape, and `assumptions` says which.

    The usual shape: N = 12·L·d² (Kaplan 2020, section 2.1) and d = 128·L, as the GPT-3 and LLaMA families have it;
    heads of 128. Raises `InvalidRequest` naming the field that is absurd.
    """
    total = number(parameters, "model.parameters", least=1e5, most=MOST_PARAMETERS)
    active = None
    if active_parameters is not None:
        active = number(active_parameters, "model.active_parameters", least=1e5, most=MOST_PARAMETERS)
        if active > total:
            allowed = f"at most parameters ({total:g})"
            message = f"model.active_parameters {active:g} is over model.parameters {total:g}"
            raise InvalidRequest(message, field="model.active_parameters", allowed=allowed)
    basis = active or total
    assumptions: list[str] = []
    if hidden is None:
        ideal = (basis * 128 / 12) ** (1 / 3)
        grain = next(step for step, least in ((1024, 4096), (512, 2048), (256, 1024), (128, 0)) if ideal >= least)
        width = max(128, grain * round(ideal / grain))
        assumptions.append(f"hidden size {width} taken as usual for {basis:.3g} parameters")
    else:
        width = whole(hidden, "model.hidden", most=MOST_WIDTH)
    if layers is None:
        depth = max(1, round(basis / (12 * width**2)))
        depth = 4 * round(depth / 4) if depth > 8 else depth
        if depth > _DEEPEST_ASSUMED:
            message = f"model.hidden {width} contradicts model.parameters {total:g}: that would take {depth} layers"
            raise InvalidRequest(message, field="model.hidden", allowed="a width that the model really has")
        assumptions.append(f"{depth} layers taken as usual for {basis:.3g} parameters of hidden size {width}")
    else:
        depth = whole(layers, "model.layers", most=MOST_LAYERS)
    if vocab is None:
        # Small models would drown in a full vocabulary: their own papers use less, and the stated count stands anyway.
        words = int(min(32_000, basis / (4 * width)))
        assumptions.append(f"vocabulary of {words} assumed")
    else:
        words = whole(vocab, "model.vocab", most=MOST_WIDTH)
    head_dim = next(size for size in (128, 64, 32, 16, 8, 4, 2, 1) if width % size == 0)
    _check_stated_shape(basis, depth, width)
    return Model(
        name=name or f"{basis / 1e9:g}B model",
        layers=depth,
        hidden=width,
        heads=width // head_dim,
        kv_heads=width // head_dim,
        head_dim=head_dim,
        ffn=4 * width,
        vocab=words,
        gated=False,
        tied=True,
        max_context=max_context,
        stated_parameters=total,
        stated_active=active,
        assumptions=tuple(assumptions),
    )


def _check_stated_shape(parameters: float, layers: int, hidden: int) -> None:
    body = 12 * layers * hidden**2
    if not 0.1 <= body / parameters <= 4:
        message = (
            f"model.parameters {parameters:g} contradicts {layers} layers of hidden size {hidden}, "
            f"which hold about {body:.3g}; correct one of them"
        )
        raise InvalidRequest(message, field="model.parameters", allowed=f"about {body:.3g}")


def _check_shape(model: Model) -> None:
    whole(model.layers, "model.layers", most=MOST_LAYERS)
    for field in ("hidden", "heads", "kv_heads", "head_dim", "ffn", "vocab"):
        whole(getattr(model, field), f"model.{field}", most=MOST_WIDTH)
    if model.heads % model.kv_heads:
        message = f"model.heads {model.heads} is not a multiple of model.kv_heads {model.kv_heads}"
        raise InvalidRequest(message, field="model.kv_heads", allowed=f"a divisor of {model.heads}")
    if model.max_context is not None:
        whole(model.max_context, "model.max_context", most=1_000_000_000)
    if model.window is not None:
        whole(model.window, "model.window", most=1_000_000_000)


def _check_experts(model: Model) -> None:
    experts = model.experts
    if experts is None:
        return
    whole(experts.routed, "model.experts.routed", most=1_000_000)
    whole(experts.width, "model.experts.width", most=MOST_WIDTH)
    whole(experts.shared_width, "model.experts.shared_width", least=0, most=MOST_WIDTH)
    if not 1 <= experts.per_token <= experts.routed:
        message = (
            f"model.experts.per_token {experts.per_token} must be from 1 to the {experts.routed} experts there are"
        )
        raise InvalidRequest(message, field="model.experts.per_token", allowed=f"1 to {experts.routed}")
    if not 1 <= experts.layers <= model.layers:
        message = f"model.experts.layers {experts.layers} must be from 1 to the model's {model.layers} layers"
        raise InvalidRequest(message, field="model.experts.layers", allowed=f"1 to {model.layers}")


def _check_stated(model: Model) -> None:
    if model.stated_parameters is not None:
        number(model.stated_parameters, "model.parameters", most=MOST_PARAMETERS)
    if model.stated_active is not None:
        number(model.stated_active, "model.active_parameters", most=model.parameters)
    if model.parameters > MOST_PARAMETERS:
        message = f"the model would hold {model.parameters:.3g} parameters; check its layers and widths"
        raise InvalidRequest(message, field="model", allowed=f"at most {MOST_PARAMETERS:g} parameters")
    if model.stated_active is None and model.matrix_parameters <= 0:
        message = "the model's embeddings alone exceed its stated parameters; check model.vocab and model.parameters"
        raise InvalidRequest(message, field="model.vocab", allowed="a vocabulary that leaves room for the layers")
