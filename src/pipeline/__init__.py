"""What all stages have in common."""
