"""Parse: one table of predictions from the raw parts of a trial."""
