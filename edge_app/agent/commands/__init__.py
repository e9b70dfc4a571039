"""Signed operators' commands over MQTT: checked, carried out once, answered."""
