"""MLflow as a view of the journal."""
