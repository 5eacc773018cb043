"""The section on prices: where the list comes from, and the user's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from . import values
from .sections import Section
from .values import refuse

Dollars = Annotated[float, BeforeValidator(values.not_a_switch), Field(ge=0, le=1e6, allow_inf_nan=False)]
Pattern = Annotated[str, AfterValidator(values.target)]


class TierPriceConfig(Section):
    """What a model costs in one way of serving. What is not set costs as it does otherwise."""

    input: Dollars | None = Field(default=None, description="What is asked.", examples=[2.5])
    output: Dollars | None = Field(default=None, description="What is answered.", examples=[10.0])
    cache_read: Dollars | None = Field(
        default=None, description="Input from the provider's own prompt cache.", examples=[0.25]
    )
    cache_write: Dollars | None = Field(
        default=None, description="Input written to that cache for minutes.", examples=[3.125]
    )
    cache_write_1h: Dollars | None = Field(default=None, description="The same for an hour.", examples=[5.0])
    reasoning: Dollars | None = Field(default=None, description="Thinking.", examples=[10.0])
    audio_input: Dollars | None = Field(default=None, description="Sound that is asked about.", examples=[40.0])
    audio_output: Dollars | None = Field(default=None, description="Sound that is answered.", examples=[80.0])
    image_input: Dollars | None = Field(default=None, description="Pictures that are asked about.", examples=[5.0])
    image_output: Dollars | None = Field(default=None, description="Pictures that are answered.", examples=[40.0])
    audio_cache_read: Dollars | None = Field(
        default=None, description="Sound from the provider's prompt cache.", examples=[2.5]
    )
    image_cache_read: Dollars | None = Field(
        default=None, description="Pictures from the provider's prompt cache.", examples=[1.25]
    )
    web_search: Dollars | None = Field(default=None, description="US dollars for each search.", examples=[0.01])
    request: Dollars | None = Field(default=None, description="US dollars for each call besides.", examples=[0.005])

    @property
    def dollars(self) -> dict[str, float]:
        """What is set, by name."""
        return self.model_dump(exclude_none=True, exclude={"tiers"})


class PriceConfig(TierPriceConfig):
    """What a model costs: US dollars for a million tokens. What is not set is billed at the rate it is a part of."""

    tiers: Mapping[values.Name, TierPriceConfig] = Field(
        default_factory=dict,
        description="Other prices by how a call was served, as the provider says: `batch`, `flex`, `priority`.",
        examples=[{"priority": {"input": 5.0, "output": 20.0}}],
    )

    @property
    def by_tier(self) -> dict[str, dict[str, float]]:
        """What is set for each tier."""
        return {name: given.dollars for name, given in self.tiers.items()}

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.input is None or (self.output is None and self.input):
            field = "input" if self.input is None else "output"
            raise refuse("is missing", "Set input and output; 0 for a model that costs nothing.", field=field)
        return self


class PricesConfig(Section):
    """What models cost. A price that is nowhere is unknown, and never counts as 0."""

    source: Literal["shipped", "installed", "none"] = Field(
        default="shipped",
        description='The list: "shipped" with llm_edge; "installed", the package genai-prices of the extra `prices`,'
        ' which may be newer; "none", your own alone.',
    )
    models: Mapping[Pattern, PriceConfig] = Field(
        default_factory=dict,
        description='Your own prices, by "provider/model"; a `*` in the model stands for anything, as in "local/*".',
    )
