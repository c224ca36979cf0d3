"""`python -m streamclf`."""

from streamclf.cli import main

main()
