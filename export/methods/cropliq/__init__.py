"""CropLiq: pretext training on synthetic anomalies, then Gaussian terms in one graph."""
