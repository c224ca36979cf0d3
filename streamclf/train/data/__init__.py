"""What there is to learn from: recordings, labels, targets, examples."""
