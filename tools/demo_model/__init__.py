"""How the embedded demonstration model and its questions are made."""
