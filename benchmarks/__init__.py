"""Latency and accuracy on continuous records, beside baselines."""
