"""From the workstation's pointers over MQTT to verified files."""
