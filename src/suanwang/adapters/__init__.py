"""What stands behind the ports in the live network: the store, the files, the clock."""
