"""Every operation of the API, from what the page's process has."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from edge_app.accounts.directory import Directory
from edge_app.accounts.people_file import PeopleFile
from edge_app.ipc.order_client import OrderClient
from edge_app.page.api.asked_history import AskedHistory
from edge_app.page.api.document import openapi
from edge_app.page.api.evidence import EvidenceAnswers
from edge_app.page.api.giving import OrderGiver
from edge_app.page.api.golden import GoldenAnswers
from edge_app.page.api.guaranteed import GuaranteedAnswers
from edge_app.page.api.history import HistoryAnswers
from edge_app.page.api.logins import LoginAnswers
from edge_app.page.api.operation import BASE, Operation, Rooms, route_of
from edge_app.page.api.orders import OrderAnswers
from edge_app.page.api.report import ReportAnswers
from edge_app.page.api.reviews import ReviewAnswers
from edge_app.page.api.scores import ScoreAnswers
from edge_app.page.api.shifts import ShiftAnswers
from edge_app.page.api.thumbnails import ThumbnailAnswers
from edge_app.page.evidence_urls import EvidenceUrls
from edge_app.page.part_evidence import EvidenceFiles, PartEvidence
from edge_app.page.problem import refused
from edge_app.page.rights import Need, RightRoute
from edge_app.page.source import LineSource, LocalSource
from edge_app.page.state import PageState
from edge_app.records import JsonObject
from edge_app.shifts import ORDINARY, Shifts

COOKIE, TLS_COOKIE = "cropliq_session", "__Host-cropliq_session"
"""Of a login. Over TLS the browser itself keeps it to this device, and to TLS."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the device stands, as the configuration names it; "": not known yet."""

    site: str = ""
    line: str = ""
    device: str = ""

    @property
    def path(self) -> str:
        """SITE/LINE/DEVICE, "" where it is not known yet."""
        return "/".join(name for name in (self.site, self.line, self.device) if name)

    def json(self) -> JsonObject:
        """Return what the page shows of it."""
        return {"site": self.site, "line": self.line, "device": self.device}


@dataclass(frozen=True, slots=True)
class Office:
    """What the API is answered from.

    Attributes:
        directory: who may log in.
        history: inspection's history; None: it keeps none.
        audit: inspection's audit; None: it keeps none.
        orders: gives orders to inspection; None: it takes none.
        urls: signs addresses of pictures.
        place: the device's name.
        bad_parts: latch or list; see `[page] bad_parts`.
        shifts: of the plant; see `[page] shifts`.
    """

    directory: Directory
    history: Path | None = None
    audit: Path | None = None
    orders: OrderClient | None = None
    urls: EvidenceUrls = field(default_factory=EvidenceUrls)
    place: Place = Place()
    bad_parts: str = "latch"
    shifts: Shifts = ORDINARY


def operations(
    office: Office, source: LineSource, evidence: EvidenceFiles | None, cookie: str
) -> list[Operation]:
    """Return the operations of a page."""
    giver, kept = OrderGiver(office.orders), PartEvidence(evidence)
    asked = AskedHistory(office.history, kept)
    orders = OrderAnswers(giver, source, office.audit)
    return [
        *orders.operations(),
        *GuaranteedAnswers(office.history, orders.limits).operations(),
        *HistoryAnswers(asked, office.shifts).operations(),
        *ReviewAnswers(asked, giver, kept, office.bad_parts).operations(),
        *GoldenAnswers(asked, giver).operations(),
        *ScoreAnswers(office.history).operations(),
        *ReportAnswers(office.history, office.place.path, office.shifts).operations(),
        *ShiftAnswers(office.shifts).operations(),
        *ThumbnailAnswers(asked, office.history, evidence).operations(),
        *EvidenceAnswers(evidence, office.urls).operations(),
        *LoginAnswers(office.directory, cookie).operations(),
    ]


def every_operation() -> list[Operation]:
    """Return the operations of a page that has nothing, for the document."""
    office = Office(Directory.of(PeopleFile(None)))
    return operations(office, LocalSource(PageState()), None, COOKIE)


def api_routes(found: list[Operation]) -> list[RightRoute]:
    """Return the routes of operations, and the one of their document."""
    rooms = Rooms()
    document = openapi(found)

    async def described(_request: Request) -> Response:
        return JSONResponse(document)

    routes = [route_of(operation, rooms) for operation in found]
    return [*routes, RightRoute(f"{BASE}/openapi.json", described, Need.VIEWER, refused)]
