"""Build: requests from items and prompts, cut into parts."""
