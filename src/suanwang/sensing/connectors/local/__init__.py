"""The local connector: one host as a site of its own. Import `LocalConnector` from `.connector`.

This file stays empty of imports: the shepherd of every run loads this package and has to be small and quick.
"""
