"""A module for each group of faults."""
