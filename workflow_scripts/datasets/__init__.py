"""Data sets: where their files come from, and how their items are read."""
