"""Networks: building, saving, running."""
