"""Train, validation and test splits, folds, and leakage between them."""
