"""The Python steps of the Assay workflow."""
