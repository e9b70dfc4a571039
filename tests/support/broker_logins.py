"""A mosquitto with the shipped ACL, and logins whose password is `secret`."""

from __future__ import annotations

import subprocess
from importlib.resources import files
from pathlib import Path

PASSWORD = "secret"


def acl_lines(folder: Path, *users: str) -> str:
    """Return configuration lines for the shipped ACL and these users."""
    passwords = folder / "passwords"
    for index, user in enumerate(users):
        flags = ["-c"] if index == 0 else []
        command = ["mosquitto_passwd", *flags, "-b", str(passwords), user, PASSWORD]
        subprocess.run(command, check=True)
    (folder / "password").write_text(f"{PASSWORD}\n")
    return f"password_file {passwords}\nacl_file {files('edge_app.mqtt') / 'mosquitto.acl'}"
