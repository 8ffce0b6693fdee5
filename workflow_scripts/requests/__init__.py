"""The requests of a task, cut into parts."""
