"""Training and testing on folds, and the report."""
