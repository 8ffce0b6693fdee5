"""Labels: what people say about responses.

A sample is drawn (`sample`), people label it on a page that knows nothing of the arms (`page`), and
their export becomes a label file (`collect`). `records` reads label files, `matching` finds the
responses that they belong to, and `judged` puts them beside a judge's verdicts for the statistics.
"""
