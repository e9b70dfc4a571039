"""Is an order that comes in the middle of another one possible at all? Asked before it interrupts.

An order that is not is answered, or reported as refused under its own name, and what is going on
goes on.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from edge_app.agent.install.candidate import (
    Checks,
    candidate_of,
    claimed_sha256,
    installed_candidate,
    verify_file,
)
from edge_app.agent.install.inbox import Install, Select
from edge_app.agent.install.slot_order import SlotContext, SlotOrder
from edge_app.errors import BundleError, EdgeError

_log = logging.getLogger(__name__)

LATE = "the command expired before its turn came; the slot was busy. Send it again."


class OrderCheck:
    """Checks orders as their own first step will. Used by the slot's thread.

    Args:
        checks: what a bundle has to pass.
    """

    def __init__(self, context: SlotContext, checks: Checks) -> None:
        self._context, self._checks = context, checks

    def may_change_over(self, item: Select, order: SlotOrder) -> bool:
        """Tell whether a changeover is possible and changes anything; False: it was answered.

        Args:
            order: what would be interrupted.
        """
        slot, store = self._context.slot, self._context.store
        if item.is_late():
            item.answer(False, f"slot {slot} stays as it is: {LATE}")
            return False
        try:
            wanted = installed_candidate(store, slot, item.product)
        except (EdgeError, OSError) as error:
            item.answer(False, f"slot {slot} stays as it is: {error}")
            return False
        active = store.active(slot)
        if wanted.sha256 == active:
            item.answer(True, f"slot {slot} judges {item.product} already")
            return False
        if active == order.sha256 and candidate_of(store, active).product == item.product:
            item.answer(
                True,
                f"slot {slot} judges {item.product} already, with a new bundle on probation; "
                "edge-app slots reject takes that one back",
            )
            return False
        return True

    def may_install(self, item: Install, order: SlotOrder) -> Install | None:
        """Return an installation that may interrupt; None: it was reported, as refused or in use.

        One of the very bundle that is being tried is returned as it came: see `is_same`.

        Args:
            order: what would be interrupted.
        """
        store, slot = self._context.store, self._context.slot
        claimed = claimed_sha256(item.file)
        if claimed == order.sha256:
            return item
        reporter = self._context.reporter
        try:
            found = verify_file(store, self._checks, item.file)
        except (BundleError, OSError) as error:
            _log.warning("slot %s: %s is refused: %s", slot, item.file.name, error)
            words = str(error) if isinstance(error, EdgeError) else _disk_words(error)
            reporter.report_aside("refused", words, item.asked_by, claimed)
            return None
        if found.sha256 == store.active(slot):
            if found.file.parent == store.incoming:
                store.discard(found.file)
            about = (found.sha256, found.product, found.serial)
            reporter.report_aside("committed", "already in use", item.asked_by, *about)
            return None
        return replace(item, file=found.file, sha256=found.sha256)

    def is_same(self, item: Install, order: SlotOrder) -> bool:
        """Tell whether an installation is of the bundle that is being tried."""
        return order.sha256 in (item.sha256, claimed_sha256(item.file))


def _disk_words(error: OSError) -> str:
    return f"the store cannot be written: {error.strerror or error}. Free some space."
