"""Infer: answers from a backend, each paid for once."""
