"""Detectors in ONNX files: what their outputs mean, which pictures they take, what their classes are called."""
