"""The config: its schema, the loader, and the trials it names."""
