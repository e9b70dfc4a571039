"""What several folders of tests use: servers, stand-ins, bundles and processes."""
