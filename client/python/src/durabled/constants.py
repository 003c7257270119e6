"""Limits that the client applies itself."""

from durabled._protocol import REPLAY_CHILDREN_THRESHOLD

CHECKPOINT_SIZE_LIMIT_BYTES = REPLAY_CHILDREN_THRESHOLD
"""A child context's result above this is not stored; its body runs again on replay."""
