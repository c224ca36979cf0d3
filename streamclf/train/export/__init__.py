"""From a model in torch to a verified pack."""
