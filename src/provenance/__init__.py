"""What a result was made from: lineage, journal, DVC files, git."""
