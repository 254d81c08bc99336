"""Paired comparison of variants on the same images."""
