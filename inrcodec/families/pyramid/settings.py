"""The settings of a pyramid's training: every number that steers it.

`PyramidSettings` nests one dataclass for each part of the training; the choice of networks has its
settings in `shapes`. Experiments vary a setting with `dataclasses.replace`. Each field names the
measurement that its default comes from; where none is named, none is on record. λ is the price of
a bit per pixel in units of the mean squared error, of samples in [-1, 1].
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from inrcodec.families.pyramid.fit.options import (
    CURVATURE,
    OPTIMIZER,
    RDOQ,
    START,
    CurvatureSettings,
    OptimizerSettings,
    RdoqSettings,
    StartSettings,
)
from inrcodec.families.pyramid.shapes import NetworkShape, ShapeSettings, network_shape


@dataclass(frozen=True)
class ByLength:
    """A number that depends on the length of a training, linearly in the logarithm of its steps.

    Attributes:
        short: the number for trainings of at most `short_steps` steps.
        long: the number for trainings of at least `long_steps` steps.
        short_steps: length at which the short values of all settings were measured.
        long_steps: length at which the long values of all settings were measured.
    """

    short: float
    long: float
    short_steps: int = 250
    long_steps: int = 800

    def at(self, steps: int) -> float:
        """The number for a training of `steps` steps.

        >>> hot = ByLength(short=0.25, long=0.75)
        >>> hot.at(40), round(hot.at(447), 2), hot.at(5000)
        (0.25, 0.5, 0.75)
        """
        ratio = math.log(steps / self.short_steps) / math.log(self.long_steps / self.short_steps)
        return self.short + (self.long - self.short) * min(1.0, max(0.0, ratio))


@dataclass(frozen=True)
class ScheduleSettings:
    """Temperature, noise and learning rates, see `fit.schedule`."""

    hot: ByLength = ByLength(0.5, 0.6)
    """Temperature of soft rounding at the start; at 800 steps 0.5 is 0.1 dB worse (kodim15, kodim05
    and kodim19 at half size), 0.7 better for one of them and worse for two."""

    cold: ByLength = ByLength(0.15, 0.12)
    """Temperature of soft rounding at the end."""

    noise: ByLength = ByLength(1.0, 0.65)
    """Width of the noise at full heat, in quantizer steps; missing heat adds to it, because with
    0.7 throughout textures, which are trained cooler, are 0.2 dB worse and smooth pictures 0.35
    better (8,000 steps at half size), and after 85 steps 0.65 is 0.1 dB worse for all
    (notebook/2026-11-23-pyramid-soft-rounding.md)."""

    latent_rate: ByLength = ByLength(0.25, 0.4)
    """Adam's peak rate for the latents, in quantizer steps; at 800 steps 0.25 is 0.1 dB worse
    (notebook/2026-11-24-pyramid-latent-optimizer.md)."""

    last_rate: float = 0.02
    """Learning rates at the end as a share of their peaks; with 0.1 the loss is 2 % higher."""

    hard_error: float = 1.025
    """Error of hard rounding, as a multiple of that of soft rounding, that the heat is adapted to:
    above it the soft latents hold what the file cannot. The ratio was 1.15 on fine texture
    (kodim13) and cost 0.25 dB there; adapted to 1.0, kodim15 at 0.6 bits per pixel is 0.2 dB
    worse (notebook/2026-11-23-pyramid-soft-rounding.md)."""

    heat_gain: float = 1.0
    """Change of the heat's logarithm at a comparison, for each unit of the error ratio."""

    min_heat: float = 0.3
    """Least heat: the initial temperature never falls below this share of `hot`."""

    comparisons: int = 60
    """Comparisons of hard and soft rounding in a training."""

    min_interval: int = 8
    """Least number of steps between two comparisons."""


@dataclass(frozen=True)
class StartRateSettings:
    """λ of the start in closed form and of the warm-up, see `fit.start_rate`."""

    size_lam: float = 0.02
    """First λ for a size at 0 bits per pixel; it falls by a factor of 16 for each bit per pixel, as
    the error of a picture of medium detail does."""

    psnr_lam: float = 2.5
    """First λ for a PSNR, as a multiple of the wanted mean squared error."""

    rate: float = 0.65
    """Rate of the start by order-0 entropies, as a multiple of the wanted one; 1.0 is level at half
    a bit per pixel and 3 dB worse at 3 bits (96x64, 220 steps)."""

    tolerance: tuple[float, float] = (0.87, 1.15)
    """Range of that rate's ratio to its aim in which the start is accepted."""

    exponent: float = 1.6
    """Exponent of the λ correction between two starts, on the ratio of the rate to its aim."""

    max_change: float = 8.0
    """Maximum factor by which λ changes between two starts."""

    max_starts: int = 3
    """Maximum number of starts in closed form."""

    settled: float = 1.08
    """Rate at the end of a training as a multiple of that after the warm-up, at the same λ."""

    warm_change: tuple[float, float] = (0.25, 2.0)
    """Range of the factor by which λ changes after the warm-up."""


@dataclass(frozen=True)
class RateControlSettings:
    """How λ follows the size or the PSNR, see `fit.budget` and `fit.rate_control`."""

    aim: float = 0.998
    """Share of the byte budget that λ is led to."""

    excess: tuple[tuple[float, float], ...] = ((0.15, 1.1), (0.3, 1.03))
    """Rates in bits per pixel, and the latents' bits before RDOQ as a multiple of those after it;
    RDOQ can better spare isolated latents in large gaps
    (notebook/2026-11-26-pyramid-guided-rdoq.md)."""

    min_latent_share: float = 0.1
    """Least share of a file that the latents are trained for."""

    rdoq_loss: float = 1.02
    """Factor by which RDOQ multiplies the error."""

    from_share: float = 0.35
    """Share of the training after which λ is controlled, since the warm-up has nearly found it;
    from 0.02 and 0.25 on, a training of 130 steps is 0.15 and 0.07 dB worse and a long one level
    (notebook/2026-11-22-pyramid-start.md; variation early-control)."""

    surplus: float = 1.5
    """Excess of the rate over the final one at the same λ, early in a training: the rate is led to
    1 + surplus · (0.9 - share)² times the wanted one."""

    surplus_until: float = 0.9
    """Share of the training after which the wanted rate has no surplus."""

    gain: float = 30.0
    """Gain of λ over a whole training: a rate of twice the wanted one doubles λ in a thirtieth."""

    max_gain: float = 0.06
    """Maximum change of log λ in a step, for each unit of the logarithm of the rate's ratio."""


@dataclass(frozen=True)
class PrefixSettings:
    """Progressive files: which prefixes show pictures, and how their sizes are controlled, see
    `fit.prefixes`."""

    steps_factor: int = 2
    """Steps of a progressive training, which has no warm-up, for each step of another; 1 is 0.1 dB
    worse from half of the file on (five pictures at half size, 0.3 bits per pixel), 4 no better
    (kodim15)."""

    targets: tuple[tuple[float, float], ...] = ((0.24, 0.4), (0.485, 1.1))
    """Share of the file and importance of the prefixes that end with the first and with the second
    set of planes."""

    between: float = 0.12
    """Importance of the pictures with the first plane of a set and with all but the finest of the
    last set; without these PSNR falls by up to 0.7 dB while a set arrives, which 0.05 does not
    always prevent, and 75 % of nih_00000001_000 are 1.5 dB worse (half size)."""

    first_ratio: float = 4.0
    """Error of a prefix as a multiple of that of the next longer one, at the start."""

    ratio_gain: float = 0.1
    """Share by which the assumed error ratios follow the measured ones in a step."""

    from_share: float = 0.02
    """Share of the training after which λ and the prices of prefixes are controlled: latents that
    have too many bits for half of the training keep them at a hundred times the price. With 0.1,
    `price_gain` 30 and `surplus` 1.5 kodim15 is 0.3 to 0.5 dB worse as a whole, chest X-ray
    00870a9c 0.1 and kodim05 level (half size; notebook/2026-11-27-progressive-bit-prices.md)."""

    surplus: float = 0.75
    """`RateControlSettings.surplus` of a progressive training; measured with `from_share`."""

    price_gain: float = 120.0
    """Gain of a prefix's price over a whole training; measured with `from_share`."""

    max_price_gain: float = 0.06
    """Maximum change of the logarithm of a price in a step, for each unit of the logarithm of the
    size's ratio."""

    price_range: tuple[float, float] = (1e-3, 300.0)
    """Range of the price of a prefix's bits, as a multiple of what its importance gives them."""

    min_latent_share: float = 0.2
    """Least share of a prefix that is left for its latents; a prefix with less is not led to its
    size."""


@dataclass(frozen=True)
class NetworkRoundingSettings:
    """The quantization of the networks' layers, see `fit.network_rounding`."""

    first_share: float = 0.75
    """Share of the training after which the first layer is rounded; from 0.5 or 0.6 on loses up to
    0.07 dB (notebook/2026-11-22-pyramid-network-rounding.md)."""

    last_share: float = 0.83
    """Share of the training after which the last layer is rounded."""

    edge: int = 32
    """Half the width of the dead zone in 1/64 quantizer steps; 32 is a uniform quantizer."""

    bit_price: float = 2.0
    """Price of a network's bit as a multiple of a latent's when a quantizer step is chosen, because
    later training makes up for part of what coarse steps cost; 1 loses 0.11 dB on Kodak at
    0.1 bits per pixel (notebook/2026-11-23-pyramid-ablation.md; variation equal-price)."""

    expected_bits: float = 6.0
    """Bits of a coefficient that is not quantized yet, for the estimate of a file's size."""

    synthesis_stride: int = 4
    """Distance of the quantizer steps tried for a synthesis layer, in eighths of an octave."""

    context_stride: int = 8
    """Distance of the quantizer steps tried for a context layer, in eighths of an octave."""

    finest: float = 200.0
    """Root mean square of a layer's coefficients in units of the finest quantizer step tried."""

    patience: int = 2
    """Number of coarser steps in a row without a gain after which the search ends."""


@dataclass(frozen=True)
class FinishSettings:
    """From trained latents to a file: empty planes, RDOQ and its λ, see `fit.finish`."""

    empty_share: float = 0.04
    """Maximum share of the latents' bits of a plane that may be emptied, because other planes make
    up for no more."""

    empty_from: float = 0.95
    """Least ratio of the latents' bits to the budget at which planes are emptied: below it less
    would be left to fill the budget."""

    saving: ByLength = ByLength(2.0, 4.0)
    """Bits that RDOQ expects a move to save in other latents at most; without plane filters 2 in
    place of 8 halve the time and cost 0.012 dB (four pictures)."""

    first_lam: float = 1.5
    """λ of the first RDOQ pass as a multiple of the training's
    (notebook/2026-11-26-pyramid-guided-rdoq.md; variation no-descent)."""

    guided_steps: int = 800
    """Steps of a training for each guided pass after the first one."""

    max_guided: int = 6
    """Maximum number of guided passes; two bring nearly all
    (notebook/2026-11-26-pyramid-guided-rdoq.md; variation unguided)."""

    guided_change: float = 2.0
    """Maximum factor by which λ changes between guided passes."""

    exponent: float = 12.0
    """Exponent of the λ correction: λ is multiplied by (size / budget)^12."""

    change: tuple[float, float] = (1.5, 4.0)
    """Range of the factor by which λ changes between passes that are not guided."""

    lam_range: tuple[float, float] = (0.7, 6.0)
    """Range of RDOQ's λ as a multiple of the training's; below it the latents stay as trained, and
    above it RDOQ removes what they need, so that training with a larger λ is better."""

    max_return: float = 1.1
    """Maximum λ of a pass that makes the file larger again, as a multiple of the training's."""

    least_share: float = 0.99
    """Least share of a byte budget that a file uses."""

    max_rounds: int = 30
    """Maximum number of attempts at a size or a PSNR after the training."""

    correction_rate: float = 0.01
    """Learning rate of a correction as a share of its peak; latents near integers have hardly a
    gradient and Adam makes a full step of it, so that faster ones lose more than λ brings
    (0.23 dB for a third of the rate, notebook/2026-11-22-pyramid-rate-control.md)."""

    max_speed: int = 100
    """Maximum factor on `correction_rate`, which the n-th correction towards a size multiplies by
    n²."""

    correction_steps: int = 12
    """Least number of steps of a correction."""

    correction_share: int = 50
    """A correction takes 1/50 of the training's steps."""

    correction_exponent: float = 5.0
    """Exponent of λ in a correction, on the ratio by which size or error is off."""

    max_correction: float = 0.2
    """Maximum logarithm of that ratio."""

    near: float = 0.02
    """Logarithm of the ratio of the wanted error to that of a file that is accepted; 0.09 dB."""

    slow: float = 0.8
    """Ratio of the missing logarithm of the error, after to before a correction, above which the
    correction counts as ineffective."""

    max_slow: int = 3
    """Number of ineffective corrections in a row after which a PSNR is given up."""


@dataclass(frozen=True)
class PyramidSettings:
    """Everything that steers the encoding of a pyramid.

    >>> from dataclasses import replace
    >>> settings = PyramidSettings()
    >>> unguided = replace(settings, finish=replace(settings.finish, max_guided=0))
    >>> unguided.finish.max_guided, settings.steps(effort=3, device="cpu")
    (0, 1000)
    """

    cpu_steps: tuple[int, ...] = (40, 500, 1000, 1700, 2600, 3900, 5300, 7200, 8400)
    """Training steps of the reference network (`shapes.training_steps`) for the efforts 1 to 9 on a
    CPU; at 768x512 on two cores 3 takes up to two minutes and 9 up to fifteen."""

    gpu_steps: tuple[int, ...] = (200, 1500, 5300, 6500, 8000, 9600, 12000, 15500, 20000)
    """Training steps of the reference network on a GPU, whose step takes 4 ms where two cores take
    80, so that effort 3 trains as long as effort 7 on a CPU
    (notebook/2026-11-26-time-gpu-training.md)."""

    min_bytes: int = 400
    """Smallest file without metadata, bytes; smaller ones leave too little for latents beside the
    networks."""

    psnr_attempts: int = 6
    """Trainings after which a PSNR counts as out of reach."""

    psnr_slope: float = 0.8
    """Assumed gain of an attempt's PSNR for each dB that a training aims higher, and the most that
    the attempts can show."""

    min_psnr_slope: float = 0.15
    """Least gain that the attempts can show."""

    max_beyond: float = 15.0
    """Maximum excess of the PSNR that a training aims at over the wanted one, dB."""

    shapes: ShapeSettings = field(default_factory=ShapeSettings)
    """What decides on planes, networks and steps."""

    network_shape: NetworkShape = network_shape
    """The choice of networks (variations units-8, units-24, one-layer, no-filter, plain-planes and
    near-context)."""

    warm_up: bool = True
    """Whether a training begins on smaller sizes of the picture; without it Kodak loses 0.37 dB at
    0.1 bits per pixel (notebook/2026-11-23-pyramid-ablation.md; variation no-warm-up)."""

    start_rate: StartRateSettings = field(default_factory=StartRateSettings)
    """λ of the start and of the warm-up."""

    schedule: ScheduleSettings = field(default_factory=ScheduleSettings)
    """Temperature, noise and learning rates."""

    control: RateControlSettings = field(default_factory=RateControlSettings)
    """How λ follows the size or the PSNR."""

    prefixes: PrefixSettings = field(default_factory=PrefixSettings)
    """Progressive files."""

    rounding: NetworkRoundingSettings = field(default_factory=NetworkRoundingSettings)
    """The quantization of the networks' layers."""

    finish: FinishSettings = field(default_factory=FinishSettings)
    """From trained latents to a file."""

    optimizer: OptimizerSettings = OPTIMIZER
    """How a step moves networks and latents."""

    start: StartSettings = START
    """The start in closed form and the warm-up."""

    curvature: CurvatureSettings = CURVATURE
    """Metric of the rounding of the networks."""

    rdoq: RdoqSettings = RDOQ
    """RDOQ of the latents; `finish.saving` stands in for its `saving`."""

    def steps(self, effort: int, device: str) -> int:
        """Training steps of the reference network for an effort from 1 to 9."""
        return (self.cpu_steps if device == "cpu" else self.gpu_steps)[effort - 1]


DEFAULT = PyramidSettings()
"""The codec's settings."""
