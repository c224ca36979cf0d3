"""Rules: the file that people write, the rules it says, and the book that judges events by them."""
