"""The configuration: composing, reading, validating."""
