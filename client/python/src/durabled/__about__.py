"""The version of the client; it speaks every level of the protocol up to LEVEL."""

__version__ = "0.1.0"
