"""The network's memory: one Protocol, on PostgreSQL and in memory.

Owns tables, statements and migrations. Knows nothing of why anything is stored.
"""
