"""Pictures, crops and labels as the other folders take them."""
