"""The script of the rule ``settings``: writes params, which are too long for a command line."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snakemake.script import snakemake  # Snakemake makes it a global of the script

for path, text in zip(map(Path, snakemake.output), snakemake.params.texts, strict=True):
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text, encoding="utf-8", newline="\n")
    temporary.replace(path)
