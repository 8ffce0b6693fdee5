"""Small HTTP servers that speak the providers' contracts."""
