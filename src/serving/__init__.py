"""What ships with a registered model. Imports nothing else of ``src``; each file must work on its own."""
