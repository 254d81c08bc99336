"""What a model is worth: metrics, their uncertainty, what is fitted to validation images, reports."""
