"""Stats: what the paired scores of two conditions say about their difference.

Everywhere: a difference is treatment minus control, of one item's scores under both conditions.
docs/statistics.md says of each number what it means, its formula, its source and its limits.

Of scipy, `scipy.special` alone is used, and loaded by the first use (`special`): `scipy.stats` and
`scipy.optimize` would add a second to each command.
"""
