"""Embedders: what makes a text searchable, by its words or as a vector."""
