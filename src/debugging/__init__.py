"""``debug=…``: ad-hoc trainings that look for a fault instead of training a model to keep."""
