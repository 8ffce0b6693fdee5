"""What the machine does while a model on it answers: measured, kept by part, summed up by arm."""
