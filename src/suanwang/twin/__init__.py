"""数字孪生: the network on a virtual clock, with the decisions of the live one.

Owns traces, simulated sites and failures, the engine that plays them, and experiments with their reports. Instants are
integer milliseconds; nothing in here reads a clock or draws chance that no seed governs.
"""
