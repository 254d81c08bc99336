"""Metrics, and curves of them."""
