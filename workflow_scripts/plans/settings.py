"""What a config says about an analysis."""

from __future__ import annotations

from pydantic import Field

from ..core.block import Block
from ..core.values import LocalPath, Text


class Analysis(Block):
    """A table and a question, which become a page."""

    data: LocalPath = Field(description="The table: a CSV file with a line of names at its top.")
    question: Text = Field(description="What you want to know, in your own words.")
