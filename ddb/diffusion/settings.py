"""Settings of CDPM training and of sampling. Defaults suit 16 px on a CPU; the paper's values stand beside them."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from ddb.diffusion.denoisers import DENOISERS
from ddb.diffusion.imported import content
from ddb.diffusion.noise_schedules import NOISE_SCHEDULES, PREDICTIONS, PROCESSES
from ddb.diffusion.samplers import SAMPLERS
from ddb.settings import AddedLater, HashedAs, NotHashed, OneOf, Settings, absolute


class CDPMSettings(Settings):
    """Training of the class-conditional diffusion model.

    The authors' values (64 px images): process paper, channels 128,256,256,256, 2 layers per block, dropout 0.15,
    100,000 steps of batch 32, learning rate 1e-4, weight decay 1e-4, gradient clip 1, no EMA.
    """

    pipeline: Annotated[str | None, AddedLater(None), HashedAs(content)] = Field(
        default=None,
        description="a folder of diffusers with a trained CDPM, which replaces training: the other settings of this "
        "section are not used (ddb/diffusion/imported.py)",
    )
    process: Annotated[str, OneOf(PROCESSES)] = Field(
        default="fast",
        description="preset of noise_schedule and prediction_type; fast: cosine and v_prediction; paper: linear (betas "
        "1e-4..0.028) and epsilon",
    )
    noise_schedule: Annotated[str, OneOf(NOISE_SCHEDULES)] | None = Field(
        default=None, description="null: that of process"
    )
    prediction_type: Annotated[str, OneOf(PREDICTIONS)] | None = Field(
        default=None, description="what the denoiser predicts; null: that of process"
    )
    denoiser: Annotated[str, OneOf(DENOISERS), AddedLater("unet")] = Field(
        default="unet", description="the network; channels, layers_per_block and attention_resolutions are of unet"
    )
    channels: tuple[int, ...] = Field(default=(16, 32, 64), min_length=1, description="UNet channels per resolution")
    layers_per_block: int = Field(default=1, ge=1, description="residual blocks per resolution")
    attention_resolutions: tuple[int, ...] = Field(default=(), description="feature map sizes with self-attention")
    dropout: float = Field(default=0.0, ge=0, lt=1)
    label_drop: float = Field(
        default=0.1, ge=0, lt=1, description="share of labels replaced by the null class (the paper: 0.1)"
    )
    steps: int = Field(default=900, ge=1, description="optimiser steps")
    batch_size: int = Field(default=64, ge=1, description="images per step over all workers")
    learning_rate: float = Field(default=2e-3, gt=0)
    weight_decay: float = Field(default=1e-4, ge=0)
    warmup_steps: int = Field(default=50, ge=0, description="linear warm-up, then a cosine to zero")
    gradient_clip: float = Field(default=1.0, gt=0, description="largest gradient norm")
    ema_decay: float | None = Field(default=0.995, gt=0, lt=1, description="null: keep no moving average (the paper)")
    horizontal_flip: bool = Field(default=False, description="mirror half of the images")
    engine: Literal["deepspeed", "ddp"] = "deepspeed"
    zero_stage: Literal[0, 1, 2] = Field(default=0, description="DeepSpeed: 1 shards optimiser state, 2 gradients too")
    precision: Literal["fp32", "bf16"] = Field(default="fp32", description="bf16: autocast with fp32 weights")
    seed: Annotated[int | None, NotHashed()] = Field(
        default=None, ge=0, description="a number: one CDPM for all seeds; null: each seed its own"
    )

    @field_validator("pipeline")
    @classmethod
    def _absolute_folder(cls, name: str | None) -> str | None:
        return name and absolute(name)

    @model_validator(mode="after")
    def _consistent(self):
        # Eight groups: with one channel per group, normalisation would erase the time and class embedding.
        if any(channel % 16 for channel in self.channels):
            raise ValueError("channels must be multiples of 16 (group normalisation)")
        if self.engine == "ddp" and self.zero_stage:
            raise ValueError("zero_stage needs engine: deepspeed")
        return self

    @property
    def diffusion_process(self) -> tuple[str, str]:
        """Noise schedule and prediction type."""
        schedule, prediction = PROCESSES[self.process]
        return self.noise_schedule or schedule, self.prediction_type or prediction

    def hashed(self) -> dict[str, Any]:
        """A preset and the two settings that it stands for have the same key."""
        values = super().hashed()
        values = {name: values[name] for name in values if name not in ("process", "noise_schedule", "prediction_type")}
        for name, process in PROCESSES.items():
            if process == self.diffusion_process:
                return values | {"process": name}
        return values | dict(zip(("noise_schedule", "prediction_type"), self.diffusion_process, strict=True))


class SamplingSettings(Settings):
    """Sampling of the synthetic set. The authors: guidance 1, 1,000 images per class, ancestral, 1000 steps."""

    guidance: float = Field(
        default=1.0,
        ge=0,
        description="the paper's w: eps = (1 + w) eps(x, y) - w eps(x, null); 0 is plain conditional sampling",
    )
    images_per_class: int = Field(default=100, ge=1)
    sampler: Annotated[str, OneOf(SAMPLERS)] = Field(default="dpm_solver", description="dpm_solver: DPM-Solver++(2M)")
    sampler_steps: int = Field(
        default=15, ge=1, le=1000, description="denoising steps: 8 or more; ancestral: 150 or more, 1000 in the paper"
    )

    @model_validator(mode="after")
    def _enough(self):
        if self.sampler_steps < (fewest := SAMPLERS[self.sampler].fewest_steps):
            raise ValueError(f"sampler_steps: {self.sampler} needs at least {fewest}, not {self.sampler_steps}")
        return self
