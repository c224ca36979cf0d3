"""How well sounds are known that somebody has shown three times: see `__main__`."""
