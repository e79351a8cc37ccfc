"""The market in the loop and for people: orders, offers, calls, and rights to capacity."""
