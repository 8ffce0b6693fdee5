"""The encoder that finds the passages of notes which answer a question: assay-encoder.gguf."""
