"""Nets, the loop that trains them, and the whole way from recordings to a pack."""
