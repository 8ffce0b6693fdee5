"""Each prediction is scored by its task; scores of items are means over their samples."""
