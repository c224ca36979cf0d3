"""Writes the reference in docs/ from the code that it is about, so that the two cannot part.

python -m tools.reference            write every page
python -m tools.reference --check    exit code 1 where one is stale
"""
