"""The product's pose, learnt from good parts: direction, registration, silhouette."""
