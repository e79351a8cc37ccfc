"""算电协同: what electricity costs and emits at each hour, and what is expected of it.

Owns series of price and carbon, time-of-use tariffs and forecasts with their uncertainty. It must not know jobs or sites.
"""
