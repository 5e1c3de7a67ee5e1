"""Optimization: SOAP, factors of a curvature, and the clock of a training."""
