"""Weights that a training starts from: finding, fetching and loading them."""
