"""A pack out of somebody else's ONNX file: the graph is asked for what it says, and its user for the rest."""
