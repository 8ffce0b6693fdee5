"""``snakemake doctor``: what is ready for a run, what is not, and what fixes it."""
