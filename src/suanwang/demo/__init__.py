"""The demonstration: a whole network on one machine, six pieces of real work, and a check that each did what it should.

Owns the demo's sites, task files and story. It is a user of the network like any other: it starts `suanwang serve` and
`suanwang agent` as processes of their own and talks to them through the client.
"""
