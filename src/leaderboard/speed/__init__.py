"""Latency, throughput and memory on this machine."""
