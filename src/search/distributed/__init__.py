"""A study shared by several machines through a database."""
