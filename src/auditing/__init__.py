"""Whether a model is what its record says, and whether it can be made again."""
