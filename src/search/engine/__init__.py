"""Search space, samplers, pruning, trials."""
