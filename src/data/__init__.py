"""Images: downloading, ingesting, splitting, loading."""
