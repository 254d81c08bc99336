"""What ships with a registered model; imports nothing else of ``src``."""
