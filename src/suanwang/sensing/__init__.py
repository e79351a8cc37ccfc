"""算力感知: what runs at a site: the agent, its connectors, its probe."""
