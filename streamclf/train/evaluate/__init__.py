"""What a pack is worth on labelled recordings."""
