"""Reading a camera's address: `scheme:path?option=value&option=value`.

The path is taken as it stands (no percent-decoding), so a file name may hold blanks and umlauts;
a question mark begins the options and cannot be part of the path.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_app.errors import ConfigError, nearest_of
from edge_app.secret_text import learn


@dataclass(frozen=True, slots=True)
class SourceUrl:
    """One parsed address.

    Attributes:
        url: the address as written.
        scheme: lower case, before the first colon.
        path: between scheme and question mark; a leading `//` is dropped.
        options: after the question mark, by name.
    """

    url: str
    scheme: str
    path: str
    options: dict[str, str]

    def flag(self, name: str, default: bool) -> bool:
        """Return an option written as 0 or 1.

        Raises:
            ConfigError: it is something else.
        """
        text = self.options.get(name, str(int(default)))
        if text not in ("0", "1"):
            raise ConfigError(f"Camera {self.url!r}: {name} must be 0 or 1, got {text!r}.")
        return text == "1"

    def number(self, name: str, default: float) -> float:
        """Return an option written as a decimal number >= 0.

        Raises:
            ConfigError: it is no such number.
        """
        text = self.options.get(name, str(default))
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not 0 <= value < float("inf"):
            raise ConfigError(f"Camera {self.url!r}: {name} must be a number >= 0, got {text!r}.")
        return value

    def allow_options(self, known: tuple[str, ...]) -> SourceUrl:
        """Return self if every option is known.

        Raises:
            ConfigError: one is not; the message names the nearest known one.
        """
        for name in self.options:
            if name not in known:
                raise ConfigError(
                    f"Camera {self.url!r}: unknown option {name!r}{nearest_of(name, known)}. "
                    f"Known: {', '.join(known)}."
                )
        return self


def scheme_of(url: str) -> str:
    """Return what stands before an address's first colon, in lower case.

    From here on no text of this process shows the address's passwords.

    Raises:
        ConfigError: there is none.
    """
    learn(url)
    scheme, colon, _ = url.partition(":")
    if not colon or not scheme.isalnum():
        raise ConfigError(
            f"Camera address {url!r} has no scheme. Write it like 'folder:/srv/pictures'."
        )
    return scheme.lower()


def parse_source_url(url: str) -> SourceUrl:
    """Return the parts of a camera's address.

    Raises:
        ConfigError: there is no scheme, or an option is not `name=value`.
    """
    scheme = scheme_of(url)
    rest = url.partition(":")[2]
    path, _, query = rest.partition("?")
    options: dict[str, str] = {}
    for pair in filter(None, query.split("&")):
        name, equals, value = pair.partition("=")
        if not equals or name in options:
            raise ConfigError(f"Camera {url!r}: expected name=value once each, got {pair!r}.")
        options[name] = value
    return SourceUrl(url, scheme, path.removeprefix("//"), options)


def anchor_path(url: str, folder: Path) -> str:
    """Return the address with a relative path made absolute against `folder`."""
    parsed = parse_source_url(url)
    query = url.partition("?")[2]
    absolute = (folder / parsed.path).absolute()
    return f"{parsed.scheme}:{absolute}" + (f"?{query}" if query else "")
