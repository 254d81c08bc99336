"""How images are assigned to splits and folds."""
