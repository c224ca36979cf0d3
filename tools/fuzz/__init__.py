"""Fuzzing of everything that reads what other people wrote: `python -m tools.fuzz --seconds 600`.

Whatever the bytes are, reading them gives a right value or a `StreamclfError`, soon and in bounded memory. `targets`
says what is read, `inputs` how bytes are made out of those kept in tests/fuzz/corpus, and `__main__` runs for long. The
suite runs the same for a short while, and reads every file that is kept: tests/fuzz.
"""
