"""The bundle format: archive, manifest, signature, and the rules by which a device admits one."""
