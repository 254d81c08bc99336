"""Intervals of metrics and of their differences."""
