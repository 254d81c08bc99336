"""The ingested data set: pixels, index, statistics."""
