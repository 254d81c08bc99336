"""Assay: image-classification experiments that a team can audit."""
