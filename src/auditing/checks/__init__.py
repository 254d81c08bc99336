"""One question of the audit a file: ``check(subject, evidence)`` looks, and writes down what it saw."""
