"""Consumers of the page's process, and of what inspection and page say to each other."""

from __future__ import annotations

from registry import Consumer

CONSUMERS = tuple(
    Consumer(site, tested_in=where)
    for site, where in {
        "edge_app.ipc.page_link:PageLink._parse": "tests/edge_app/page/test_page_feed.py",
        "edge_app.page.changeover_routes:ChangeoverRoutes.select": "tests/edge_app/page",
        "edge_app.page.picture_notes:report_of": "tests/edge_app/page/test_page_feed.py",
    }.items()
)
