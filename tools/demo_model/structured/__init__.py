"""Records to be filled in as JSON, and the model that fills them in: assay-structured.gguf."""
