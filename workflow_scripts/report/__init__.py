"""The report: one offline page per trial, and a front page over all trials.

Pages are Jinja templates (autoescape on) with the style sheet and the scripts inlined, so that a
page opens from disk, on any device, with nothing fetched. The same inputs give the same bytes.
"""
