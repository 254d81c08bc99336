"""Comparing variants: accuracy, size, speed."""
