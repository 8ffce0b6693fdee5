"""The answers of a trial: asked for once, kept in the journal, gathered from its parts."""
