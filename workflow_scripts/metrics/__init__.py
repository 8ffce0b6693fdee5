"""What is measured of one response."""
