"""The routes under `/v1`, one file for each use case of `control`."""
