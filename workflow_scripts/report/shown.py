"""The base of what pages read; apart from `inputs`, which knows all statistics and loads them."""

from pydantic import BaseModel, ConfigDict


class Shown(BaseModel):
    """Base of what is shown: further fields are left to other readers."""

    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)
