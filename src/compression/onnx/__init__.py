"""ONNX models: export, rewriting, running."""
