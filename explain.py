"""What a model looked at, laid over the ECG: `python explain.py MODEL RECORD --out FOLDER`."""

from attribution import METHODS, methods_of, relevance

__all__ = ["METHODS", "methods_of", "relevance"]
