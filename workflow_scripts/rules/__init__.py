"""What the files in rules/ use: each job's settings, and what Assay adds to Snakemake."""
