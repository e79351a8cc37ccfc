"""The only place where concrete classes meet: `network` makes a control plane, `agent` a site's agent."""
