"""Which method teaches best? The same student, photos and budget for each, several seeds, one table."""
