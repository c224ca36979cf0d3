"""Training, export and evaluation: the only home of torch and transformers (extra `train`). No daemon imports it."""
