"""Who says what a model was made of, and what DVC has written down of it."""
