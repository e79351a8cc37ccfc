"""Frozen values and their rules. Owns the words of the field; knows nothing of storage, network or clocks."""
