"""Teaching by example: heads are fitted to what somebody has shown, on embeddings that a pack gives anyway."""
