"""Where text comes from: one client per backend, what its models take, and what they cost."""
