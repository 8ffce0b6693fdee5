"""Models that judge responses: what they are asked, and what they said."""
