"""The three roles. Each may do what the ones before it may."""

from __future__ import annotations

from enum import Enum


class AccessRole(str, Enum):
    """What a person or a program may do on the device."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ENGINEER = "engineer"

    def includes(self, other: AccessRole) -> bool:
        """Tell whether this role may do what the other may."""
        order = list(AccessRole)
        return order.index(self) >= order.index(other)


ROLES = tuple(role.value for role in AccessRole)
