"""From files in ``data/raw`` to one checked array."""
