"""A trial's scores compared: significance.json and what stands beside it."""
