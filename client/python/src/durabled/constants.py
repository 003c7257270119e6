"""Limits that the client applies itself."""

CHECKPOINT_SIZE_LIMIT_BYTES = 256 * 1024
"""A child context's result above this is not stored; its body runs again on replay."""
