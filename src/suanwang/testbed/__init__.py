"""Real schedulers brought up on one machine, for tests, demonstrations and users who want to try joining a site."""
