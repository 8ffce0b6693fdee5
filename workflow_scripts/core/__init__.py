"""What all packages share: records, files, errors, names of things."""
