"""Prepare: canonical items from public data sets and from the user's own files."""
