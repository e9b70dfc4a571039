"""Feature extractors: our own network definitions, weights from ordinary packages."""
