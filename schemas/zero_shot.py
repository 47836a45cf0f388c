"""What answers for the tier `zero_shot`: the sentence encoder that comes with intentstream, or an NLI model."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from schemas.settings_section import Section


class ZeroShot(Section):
    """What answers for the tier `zero_shot`."""

    backend: Literal["embeddings", "nli"] = Field(
        "embeddings",
        description="embeddings: sentence embeddings; nli: transformers' zero-shot pipeline, which takes a pass for "
        "each text and intent. Needs the extra `nli`.",
    )
    model: str | None = Field(
        None,
        min_length=1,
        description="The NLI model: a folder, as `save_pretrained` writes it, or with `revision` its name on the "
        "Hugging Face hub.",
    )
    revision: str | None = Field(
        None,
        pattern=r"^[0-9a-f]{40}$",
        description="Its commit on the hub, all 40 digits, so that no other is ever served; left out: `model` is a "
        "folder.",
    )
    hypothesis: str = Field(
        "This text is about {}.",
        description="What is held against a text for an intent without a description, `{}` being the intent's name.",
    )
    out_of_scope: str = Field(
        "something else", min_length=1, description="What stands there instead of a name for out-of-scope."
    )
    max_batch: int = Field(32, ge=1, le=1_024, description="Pairs of a text and an intent in one pass.")
    calibration_texts: int = Field(
        100,
        ge=0,
        le=100_000,
        description="The most examples of the catalogue that its temperature is fitted to, once; 0: it is taken at "
        "its word.",
    )

    @field_validator("hypothesis")
    @classmethod
    def _has_a_place_for_a_name(cls, hypothesis: str) -> str:
        if hypothesis.count("{}") != 1:
            raise PydanticCustomError("hypothesis", "Input should have one {}, where an intent's name is to stand")
        return hypothesis

    @model_validator(mode="after")
    def _names_a_model(self) -> Self:
        if self.backend == "nli" and self.model is None:
            raise PydanticCustomError(
                "zero_shot", "The backend nli needs a model: its folder, or with revision its name on the hub"
            )
        return self
