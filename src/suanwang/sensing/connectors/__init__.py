"""Site schedulers as connectors; they do not know each other."""
