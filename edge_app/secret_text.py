"""Passwords in addresses and options: taken apart in one place, shown nowhere.

`shown_address` parses a camera's or server's address and returns what people may see of it;
`learn` remembers what is secret in one that this process was given, and `mask` leaves it out of
any text. Every EdgeError, every log line, every sentence on stderr and every camera's description
passes through `mask`. Where an address can be read in two ways, more is left out.
"""

from __future__ import annotations

import re
import threading
from urllib.parse import quote, unquote

HIDDEN = "***"

LOCAL_SCHEMES = frozenset(
    ("sim", "folder", "video", "watch", "v4l2", "basler", "aravis", "csi"),
)
"""Camera schemes whose addresses name a file or a device: an `@` in them is part of a name."""

PLAIN_OPTIONS = frozenset(
    [
        "camera",
        "channel",
        "channelid",
        "codec",
        "fps",
        "height",
        "mode",
        "profile",
        "proto",
        "resolution",
        "stream",
        "streamtype",
        "subtype",
        "transport",
        "transportmode",
        "unicast",
        "videocodec",
        "width",
    ]
)
"""Options of network addresses whose values are shown; so are numbers of up to three digits."""

MIN_KNOWN_CHARS = 5
"""A shorter secret is left out by its place only: as a word it would hide half of every text."""

_COMMON_WORD = re.compile(r"[a-z]{0,9}")
"""Likewise: it is left out by its place, not wherever the word stands."""

MAX_KNOWN = 1000

_SECRET_NAME = re.compile(
    r"pass|pwd|psw|^pw|pw$|secret|token|auth|cred|login|usr|user|(^|[^a-z])(key|pin|sid|sig)$|apikey|"
    r"proxy-id|session|signature|cookie|header",
    re.IGNORECASE,
)
_PAIR = re.compile(r"(?<![A-Za-z0-9_.%\[\]-])([A-Za-z0-9_.%\[\]-]+)(\s*=\s*)")
_PLAIN_NUMBER = re.compile(r"-?[0-9]{1,3}(\.[0-9]{1,6})?")
_FLAG = re.compile(r"[a-z]{1,12}")
_TRANSPORT = re.compile(r"#transport=(tcp|udp)\Z")
_LEAD = re.compile(r"\s*[/\\]*")
_VALUE = re.compile(
    r"(?:\([A-Za-z0-9_/-]+\)\s*)?(?:\"(?:[^\"\\]|\\.)*(?:\"|\Z)|'(?:[^'\\]|\\.)*(?:'|\Z)|"
    r"(?:[^\s\\]|\\.)*)",
    re.DOTALL,
)
_NEXT = re.compile(r"(?<!\s)(?:\s+(?:!\s|[A-Za-z][A-Za-z0-9-]*\s*=)|\s*\Z)")
_WORD = re.compile(r"[^\s'\"<>]+")
_BEGINS_URL = re.compile(r"[A-Za-z0-9+.-]:[/\\]{2}")
_NAMED_SECRET = re.compile(
    r"(?<![\w-])((?:[\w-]*(?:password|passwd|passphrase|pwd|user-pw|secret|api_?key)|pass|psw|pw|"
    r"token)(?:\s*=\s*|%3D))(\"(?:[^\"\\]|\\.)*\"?|'(?:[^'\\]|\\.)*'?|[^\s&;,'\"]+)",
    re.IGNORECASE,
)
_AUTHORIZATION = re.compile(r"\b((?:Basic|Bearer|Digest)\s+)[A-Za-z0-9+/=._~-]{8,}")

_lock = threading.Lock()
_addresses: dict[str, str] = {}  # as given → as shown
_values: set[str] = set()
_known: re.Pattern[str] | None = None


def shown_address(address: str) -> str:
    """Return an address as people may see it: no login, no value of a secret option.

    Never raises: what cannot be parsed is left out from the first doubt on.
    """
    scheme, rest = _split_scheme(address)
    if scheme.lower() == "gstreamer":
        return f"{scheme}:{_shown_pipeline(rest)}"
    if scheme.lower() in LOCAL_SCHEMES:
        if "://" in rest:
            return f"{scheme}:{shown_address(rest)}"
        if rest.startswith("//") and "@" in rest:
            return f"{scheme}:{_shown_network(rest)}"
        path, mark, options = rest.partition("?")
        shown = _shown_options(options) if mark else ""
        start, end = _login_in_path(path)
        return f"{scheme}:{path[:start]}{path[end:]}{mark}{shown}"
    head = f"{scheme}:" if scheme else ""
    return head + _shown_network(rest)


def split_login(address: str) -> tuple[str, str]:
    """Return (login, address without it) of a network address; the login is "" where none is.

    The login ends at the last `@`, so that it may hold every sign, `/`, `#`, `?` and `@` too.
    """
    scheme, rest = _split_scheme(address)
    lead = _LEAD.match(rest)
    start = lead.end() if lead else 0
    end = rest.rfind("@")
    if end < 0:
        return "", address
    head = f"{scheme}:" if scheme else ""
    return rest[start:end], head + rest[:start] + rest[end + 1 :]


def learn(address: str) -> None:
    """Remember what is secret in an address, so that `mask` finds it in any text."""
    if has_secret(address):
        _remember(address, shown_address(address), _secrets_in(address))


def learn_secret(value: str) -> None:
    """Remember a password or token that was read from a file."""
    _remember(None, "", [value])


def mask(text: str) -> str:
    """Return a text without the secrets of known addresses, and without logins in any URL."""
    with _lock:
        addresses, known = sorted(_addresses.items(), key=lambda a: -len(a[0])), _known
    for address, shown in addresses:
        for form in (address, repr(address)[1:-1]):
            if form in text:
                text = text.replace(form, shown)
    if known is not None:
        text = known.sub(HIDDEN, text)
    text = _without_logins(text)
    text = _NAMED_SECRET.sub(rf"\g<1>{HIDDEN}", text)
    return _AUTHORIZATION.sub(rf"\g<1>{HIDDEN}", text)


def has_secret(address: str) -> bool:
    """Tell whether something of an address is not shown; a name without a scheme is none."""
    is_address = bool(_split_scheme(address)[0]) or "//" in address
    return is_address and shown_address(address) != address


def _without_logins(text: str) -> str:
    """Return a text whose addresses have no login; the time grows with its length, not faster."""
    return _WORD.sub(lambda word: _without_login(word[0]), text) if "@" in text else text


def _without_login(word: str) -> str:
    begins = _BEGINS_URL.search(word)
    end = word.rfind("@")
    if begins is None or end < begins.end():
        return word
    return word[: begins.end()] + word[end + 1 :]


def _split_scheme(address: str) -> tuple[str, str]:
    scheme, colon, rest = address.partition(":")
    if not colon or not re.fullmatch(r"\s*[A-Za-z][A-Za-z0-9+.-]*", scheme) or "@" in scheme:
        return "", address
    return scheme, rest


def _login_in_path(path: str) -> tuple[int, int]:
    """Return where `name:password@` begins and ends in a local address; (0, 0) where none is."""
    end = path.rfind("@")
    colon = path.find(":", 0, max(end, 0))
    if colon < 0:
        return 0, 0
    return max(path.rfind(sign, 0, colon) for sign in "/@") + 1, end + 1


def _is_secret(name: str) -> bool:
    return _SECRET_NAME.search(unquote(name)) is not None


def _shown_network(rest: str) -> str:
    lead = _LEAD.match(rest)
    start = lead.end() if lead else 0
    end = rest.rfind("@")
    if end >= 0:
        login = rest[start:end]
        if "?" in login or any(_is_secret(pair[1]) for pair in _PAIR.finditer(login)):
            return rest[:start] + HIDDEN  # a login with a question mark, or options with an @
    behind = rest[max(end + 1, start) :]
    transport = _TRANSPORT.search(behind)
    tail = transport.group() if transport else ""
    behind = behind.removesuffix(tail)
    place, mark, options = behind.partition("?")
    place = _without_named(place)
    if mark:
        options = _shown_options(options, are_foreign=True)
    elif "#" in place:
        place = place.partition("#")[0] + f"#{HIDDEN}"
    return rest[:start] + place + mark + options + tail


def _without_named(path: str) -> str:
    """Return a path up to the first secret that is named in it, as recorders write them."""
    for pair in _PAIR.finditer(path):
        if _is_secret(pair[1]):
            return path[: pair.end()] + HIDDEN
    return path


def _shown_options(options: str, are_foreign: bool = False) -> str:
    """Return `name=value&name=value` without secret values.

    A piece without a name after a secret one is the rest of its value.
    """
    shown: list[str] = []
    is_hidden = False
    for piece in re.split(r"([&;])", options):
        if piece in ("&", ";"):
            shown.append(piece)
            continue
        name, equals, value = piece.partition("=")
        if equals:
            is_hidden = _is_secret(name) or (are_foreign and not _is_plain(name, value))
        elif name and not _FLAG.fullmatch(name):
            is_hidden = True
        if not is_hidden:
            shown.append(piece)
        elif equals:
            shown.append(f"{_shown_name(name)}={HIDDEN}")
        else:
            shown.append(HIDDEN if piece else "")
    return "".join(shown)


def _shown_name(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_.\[\]-]{1,32}", name) else HIDDEN


def _is_plain(name: str, value: str) -> bool:
    if name.lower() in PLAIN_OPTIONS:
        return re.fullmatch(r"[A-Za-z0-9_.-]{1,16}", value) is not None
    return _PLAIN_NUMBER.fullmatch(value) is not None


def _shown_pipeline(text: str) -> str:
    """Return a GStreamer pipeline without secret properties and without logins in its addresses."""
    shown, at = [], 0
    for pair in _PAIR.finditer(text):
        if pair.start() < at:
            continue  # inside the value before
        shown.append(text[at : pair.end()])
        end = _value_end(text, pair.end())
        value = text[pair.end() : end]
        is_address = "://" in value or "@" in value
        if _is_secret(pair[1]) or is_address:
            end = max(end, _next_property(text, end))
            value = text[pair.end() : end]
        shown.append(_shown_value(value, pair[1]) if _is_secret(pair[1]) or is_address else value)
        at = end
    return "".join(shown) + _without_logins(text[at:])


def _shown_value(value: str, name: str) -> str:
    blank = value[len(value.rstrip()) :]
    if _is_secret(name):
        return HIDDEN + blank
    bare = value.strip().strip("\"'")
    return shown_address(bare) + blank


def _value_end(text: str, start: int) -> int:
    """Return where a property's value ends: at its quote, or at the first blank without one."""
    found = _VALUE.match(text, start)
    return found.end() if found else len(text)


def _next_property(text: str, start: int) -> int:
    """Return where the next element or property begins: up to there it may be the value's rest."""
    found = _NEXT.search(text, start)
    return found.start() if found else len(text)


def _secrets_in(address: str) -> list[str]:
    """Return the secret values of an address, as written and taken apart at every sign."""
    scheme, rest = _split_scheme(address)
    secrets: list[str] = []
    if scheme.lower() == "gstreamer":
        for pair in _PAIR.finditer(rest):
            value = rest[pair.end() : _value_end(rest, pair.end())]
            bare = value.strip().strip("\"'")
            if _is_secret(pair[1]):
                whole = rest[pair.end() : _next_property(rest, pair.end() + len(value))]
                secrets += [bare, whole.strip().strip("\"'"), re.sub(r"\\(.)", r"\1", bare)]
            elif "://" in bare:
                secrets += _secrets_in(bare)
        return secrets
    login = split_login(address)[0]
    if scheme.lower() in LOCAL_SCHEMES and "//" not in rest:
        start, end = _login_in_path(rest.partition("?")[0])
        login = rest[start:end].removesuffix("@")
    front, mark, behind = login.partition("?")
    named = any(_is_secret(pair[1]) for pair in _PAIR.finditer(front))
    password = front.partition(":")[2]
    if not mark and not named:
        secrets += [login, password]
    elif not re.match(r"[0-9]{1,5}(/|$)", password):  # else host and port, and options with an @
        secrets += [behind, password]
    else:
        secrets.append(behind)
    for pair in _PAIR.finditer(rest):
        if _is_secret(pair[1]):
            value = rest[pair.end() :]
            secrets += [value, value.partition("&")[0], value.partition("#")[0]]
    return secrets


def _remember(address: str | None, shown: str, secrets: list[str]) -> None:
    global _known
    pieces = [p for s in secrets for p in re.split(r"[/\\?#&=@:;\s\"']+", s)]
    forms = {f for s in (*secrets, *pieces) for f in (s, unquote(s), quote(s, safe=""))}
    with _lock:
        if address is not None and len(_addresses) < MAX_KNOWN:
            _addresses[address] = shown
        room = MAX_KNOWN - len(_values)
        fresh = [f for f in forms if _is_telling(f) and f not in _values]
        _values.update(fresh[: max(0, room)])
        longest = sorted(_values, key=lambda v: -len(v))
        if longest:
            _known = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest))})(?!\w)")


def _is_telling(value: str) -> bool:
    return len(value) >= MIN_KNOWN_CHARS and not _COMMON_WORD.fullmatch(value)
