"""Costs: tokens, time and money of a trial."""
