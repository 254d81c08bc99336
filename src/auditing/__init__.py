"""Is a model what its record says, and can it be rebuilt?"""
