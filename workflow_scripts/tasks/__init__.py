"""How an item is put to a model, and what is made of the responses: one module per task."""
