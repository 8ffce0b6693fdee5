"""Questions on a folder of notes, and the model that answers with citations: assay-cited.gguf."""
