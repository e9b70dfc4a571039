"""Several frozen-feature densities in one graph, their choice measured on cross-fitted evidence."""
