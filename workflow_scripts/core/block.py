"""What all blocks of a config, and all settings made from it, have in common."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    ValidationInfo,
    field_validator,
)


class Block(BaseModel):
    """Base of all config blocks: unknown keys are errors, and so are NaN and infinity."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)

    @field_validator("*", mode="before")
    @classmethod
    def _is_no_switch(cls, value: object, info: ValidationInfo) -> object:
        """Refuse true and false where they are no values: Python would count them as 1 and 0."""
        field = cls.model_fields[str(info.field_name)]
        if _holds_a_switch(value) and not _takes_a_switch(field.annotation):
            raise ValueError(
                "true and false are no values here; YAML also reads yes, no, on and off as such, "
                "unless they stand in quotes"
            )
        return value


def _holds_a_switch(value: object) -> bool:
    parts: object = [*value, *value.values()] if isinstance(value, dict) else value
    return any(isinstance(part, bool) for part in (parts if isinstance(parts, list) else [parts]))


def _takes_a_switch(annotation: Any) -> bool:
    """Whether true may stand in a value; blocks and tasks look at their own."""
    if annotation is Any:
        return True
    if isinstance(annotation, type) and issubclass(annotation, bool | Block):
        return True
    return any(map(_takes_a_switch, get_args(annotation)))
