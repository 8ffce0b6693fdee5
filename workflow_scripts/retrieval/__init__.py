"""Retrieval: documents, their chunks, the embedders that search them, and what was found."""
