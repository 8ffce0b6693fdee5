"""A table and a question become a page: two questions to a model, all else is code."""
