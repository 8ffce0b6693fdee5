"""The questions of the demonstration, and the model that answers them: assay-demo.gguf."""
