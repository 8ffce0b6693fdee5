"""Verify that what a report shows is what was asked and computed."""
