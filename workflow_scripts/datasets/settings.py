"""What a config says about a data set."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import (
    Field,
    model_validator,
)

from ..core.block import Block
from ..core.records import TaskName
from ..core.registry import NameIn
from ..core.values import (
    Checksum,
    LocalPath,
    MetricKey,
    NotEmpty,
    Text,
    WebAddress,
    path_name,
)
from ..metrics.correctness import Correctness
from ..tasks.registry import TASKS, KnownTask
from .formats import FORMATS


class Download(Block):
    """A file to download, and how to know that it is the right one."""

    url: str
    sha256: str


FormatName = Annotated[str, NameIn(FORMATS)]


class HubBenchmark(Block):
    """The benchmark on the Hugging Face Hub that a data set is; see docs/exports.md."""

    id: str = Field(
        pattern=r"^[A-Za-z0-9._-]+/[A-Za-z0-9._-]+$",
        description="The id of its data set on the Hub, such as `rajpurkar/squad_v2`.",
    )
    task_id: Text = Field(description="The task in the data set's eval.yaml.")
    metric: MetricKey = Field(description="The metric that the benchmark ranks by, a share.")
    revision: Text | None = Field(None, description="The revision of the data set on the Hub.")


class DatasetSpec(Block):
    """One data set: a file of a known format, from a path or a URL."""

    format: FormatName = Field(description="How the file is written.")
    path: LocalPath | None = Field(None, description="A local file (may be gzipped).")
    url: WebAddress | None = Field(
        None, description="Where to download it from, once. Credentials belong into .netrc."
    )
    sha256: Checksum | None = Field(None, description="Checksum of the file at url.")
    member: str | None = Field(None, description="The file inside, when url is an archive.")
    columns: dict[str, str] = Field(
        {},
        description="The file's own column names, by Assay's names; other columns are left "
        "out, and ids may be missing.",
    )
    task: KnownTask | None = Field(None, description="Needed where the format has none of its own.")

    template: LocalPath | None = Field(
        None,
        description="File of the text around its items; absent: prompts/tasks/{task}.txt.",
    )

    evaluation: NotEmpty | None = Field(
        None,
        description="The official evaluation whose exact match and F1 are wanted, by name; absent: "
        "the format's.",
    )
    correctness: Correctness | None = Field(
        None, description="The criterion for correct answers; absent: as for all data sets."
    )
    hub: HubBenchmark | None = Field(
        None, description="The benchmark on the Hugging Face Hub that it is, for `exports`."
    )

    @model_validator(mode="after")
    def _one_source_and_a_task(self) -> Self:
        if (self.path is None) == (self.url is None):
            raise ValueError("give either path (a local file) or url (a download)")
        if self.url is not None and self.sha256 is None:
            raise ValueError("url needs sha256, the checksum of the file")
        if self.url is None and self.sha256 is not None:
            raise ValueError("sha256 belongs to url; a file at path is taken as it is")
        if self.columns and not FORMATS[self.format].has_columns:
            raise ValueError(f"columns: format '{self.format}' has fixed names")
        fixed = FORMATS[self.format].task
        if fixed is None and self.task is None:
            tasks = " or ".join(map(repr, TASKS))
            raise ValueError(f"format '{self.format}' needs task: {tasks}")
        if fixed is not None and self.task not in (None, fixed):
            raise ValueError(f"format '{self.format}' is always task '{fixed}'")
        return self

    @property
    def file_name(self) -> str:
        """The name under which the download is kept."""
        return path_name(PurePosixPath(urlsplit(self.url or "").path).name) or "data"

    @property
    def the_task(self) -> TaskName:
        """The task that this data set's items are put to."""
        task = self.task or FORMATS[self.format].task
        assert task is not None  # noqa: S101 - one of them is there, or the config is refused
        return task
