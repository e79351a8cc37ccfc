"""The market's core: rectangles of capacity, offers and orders, how a call clears, and what a trade moves.

Everything here is pure: books go in, results come out. Windows are whole hours since 1970, prices whole fen per unit and
hour, so that every amount is a whole number of fen and nothing is ever rounded.
"""
