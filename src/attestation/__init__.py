"""Provenance statements and signatures."""
