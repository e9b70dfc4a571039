"""The optional classifier that names defects: regions, features, softmax head."""
