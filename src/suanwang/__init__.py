"""算网 Suanwang: the open operating system for computing-power networks."""
