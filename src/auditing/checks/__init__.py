"""One question of the audit per file: ``check(target, log)`` looks, and writes down what it saw."""
