"""Batches: several branches at once."""
