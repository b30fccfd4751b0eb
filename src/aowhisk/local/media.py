"""Media types: which are binary, how they are written, which ones a client accepts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

__all__ = ["Form", "MediaType", "accepts"]

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_TYPE = re.compile(rf"\s*({_TOKEN})/({_TOKEN})\s*")
_PARAMETER = re.compile(rf';\s*({_TOKEN})\s*=\s*({_TOKEN}|"(?:[\t !#-\[\]-~]|\\[\t -~])*")\s*')
_BARE = re.compile(_TOKEN)
_CHARSET = re.compile(r"US-ASCII|ISO-8859-\d+|UTF-8|UTF-(16|32)([BL]E)?", re.IGNORECASE)
_BINARY_TREES = frozenset({"audio", "font", "image", "message", "multipart", "video"})
_APPLICATION_BINARY = re.compile(
    r"cbor|gnutar|java-archive|grpc\+proto|lha|lzx|msword|octet-stream|pdf|postscript|zip"
    r"|vnd\.(google-earth\.kmz|ms-(excel|fontobject|powerpoint|word)|oasis\.opendocument"
    r"|openxmlformats-officedocument).*"
    r"|x-(7z-compressed|ace-compressed|apple-diskimage|arc-compressed|bzip2?|chrome-extension"
    r"|compress(ed)?|debian-package|dvi|font-(truetype|opentype)|gtar|gzip|rar-compressed"
    r"|redhat-package-manager|shockwave-flash|tar|tex|texinfo|x509-ca-cert|xpinstall)"
)
_FIXED = frozenset(
    {
        "application/json",
        "application/json-patch+json",
        "application/merge-patch+json",
        "application/problem+json",
        "application/vnd.api+json",
        "application/x-www-form-urlencoded",
        "text/event-stream",
    }
)
_APPLICATION_OPEN = re.compile(
    r"((atom|problem|rss|soap|vnd\.google-earth\.kml|xhtml)\+)?xml|xml-dtd|base64|javascript"
    r"|x-(latex|vrml)"
)
_TEXT_OPEN = re.compile(
    r"asp|cache-manifest|calendar|css|csv|html|markdown|mcf|plain|richtext|tab-separated-values"
    r"|uri-list|vnd\.wap\.wml(script)?|xml"
    r"|x-(asm|c|component|h|java-source|pascal|script((c|k|tc|z)?sh|elisp|lisp|perl|perl-module"
    r"|phyton|rexx|scheme|tcl)?|server-parsed-html|setext|sgml|speech|uuencode|vcalendar|vcard)"
)


class Form(Enum):
    """What the bytes of a media type are: no text, text in UTF-8, or text in a charset that is
    named beside it."""

    BINARY = "binary"
    FIXED = "fixed charset"
    OPEN = "open charset"


@dataclass(frozen=True, slots=True)
class MediaType:
    """A media type as pekko-http sees it; `charset` is not one of its `parameters`."""

    main: str
    sub: str
    parameters: tuple[tuple[str, str], ...] = ()
    charset: str | None = None

    @classmethod
    def parse(cls, text: str) -> MediaType | None:
        """From the value of a Content-Type header, None where it is none."""
        match = _TYPE.match(text)
        if match is None:
            return None
        parameters: dict[str, str] = {}
        end = match.end()
        while end < len(text):
            given = _PARAMETER.match(text, end)
            if given is None:
                return None
            parameters[given[1]] = _unquoted(given[2])
            end = given.end()
        names = {name.lower(): name for name in parameters}
        charset = parameters.pop(names["charset"]) if "charset" in names else None
        return cls(match[1].lower(), match[2].lower(), tuple(parameters.items()), charset)

    @property
    def value(self) -> str:
        """`main/sub; name=value`, without the charset."""
        shown = [f"{name}={_quoted(value)}" for name, value in self.parameters]
        return "; ".join([f"{self.main}/{self.sub}", *shown])

    @property
    def form(self) -> Form:
        """What its bytes are; of a type that nobody knows a charset says that it is text."""
        if f"{self.main}/{self.sub}" in _FIXED:
            return Form.FIXED
        if self.main == "application" and _APPLICATION_OPEN.fullmatch(self.sub):
            return Form.OPEN
        if self.main == "text" and _TEXT_OPEN.fullmatch(self.sub):
            return Form.OPEN
        known = self.main in _BINARY_TREES or (
            self.main == "application" and _APPLICATION_BINARY.fullmatch(self.sub)
        )
        return Form.BINARY if known or self.charset is None else Form.OPEN

    @property
    def is_json(self) -> bool:
        """Exactly application/json, without parameters."""
        return self.value == "application/json"

    @property
    def is_json_family(self) -> bool:
        """application/json or anything that ends in +json."""
        return self.is_json or self.value.endswith("+json")

    @property
    def content_type(self) -> str:
        """As a Content-Type header says it."""
        if self.form is not Form.OPEN or self.charset is None:
            return self.value
        is_known = _CHARSET.fullmatch(self.charset) is not None
        return f"{self.value}; charset={self.charset.upper() if is_known else self.charset}"


def accepts(accept: str | None, content_type: str) -> bool:
    """Whether a client that sent the header Accept: `accept` takes `content_type`: the most exact
    range decides; q=0 refuses. A header that is none says nothing."""
    wanted = MediaType.parse(content_type)
    ranges = [_range(part) for part in (accept or "").split(",") if part.strip()]
    if wanted is None or not ranges or None in ranges:
        return True
    fitting = [
        (given.main != "*", given.sub != "*", _quality(given))
        for given in ranges
        if given is not None
        and (given.main == "*" or (given.main == wanted.main and given.sub in ("*", wanted.sub)))
    ]
    return bool(fitting) and max(fitting)[2] > 0


def _range(text: str) -> MediaType | None:
    """A media range; `*` alone is `*/*`, as old Java says it."""
    return MediaType.parse(re.sub(r"^\s*\*\s*(?=;|$)", "*/*", text))


def _quality(given: MediaType) -> float:
    text = next((value for name, value in given.parameters if name.lower() == "q"), "1")
    try:
        return float(text)
    except ValueError:
        return 1.0


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else text


def _quoted(text: str) -> str:
    if _BARE.fullmatch(text):
        return text
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'
