"""算力度量: one measure for every chip, and how much of it a piece of work needs.

Owns reckoning only: models, operations, memory, splits over cards, efficiencies and how they are learnt, the unified
unit and the estimate made of them. Reads no clock, file of a user, site or price; the fitted coefficients that ship
with the package are the one thing it loads.
"""
