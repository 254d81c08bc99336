"""Style and labels of all figures."""
