"""The networks that ``model`` chooses from."""
