"""What people and programs order on a running device: recorded first, then carried out."""
