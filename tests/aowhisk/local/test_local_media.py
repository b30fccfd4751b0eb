"""Media types: parsing, binary or text, negotiation."""

import pytest

from aowhisk.local.media import Form, MediaType, accepts


def parsed(text: str) -> MediaType:
    media = MediaType.parse(text)
    assert media is not None
    return media


@pytest.mark.parametrize(
    ("text", "content_type", "form"),
    [
        ("application/json", "application/json", Form.FIXED),
        ("Application/JSON; charset=latin-1", "application/json", Form.FIXED),
        ("text/plain", "text/plain", Form.OPEN),
        ("text/plain;charset=utf-8", "text/plain; charset=UTF-8", Form.OPEN),
        ("text/plain; charset=klingon", "text/plain; charset=klingon", Form.OPEN),
        ("text/csv; header=present", "text/csv; header=present", Form.OPEN),
        ('text/csv; name="a \\"b\\""', 'text/csv; name="a \\"b\\""', Form.OPEN),
        ("application/xml", "application/xml", Form.OPEN),
        ("image/svg+xml", "image/svg+xml", Form.BINARY),
        ("image/png; charset=utf-8", "image/png", Form.BINARY),
        ("application/pdf; charset=utf-8", "application/pdf", Form.BINARY),
        ("text/unheard-of", "text/unheard-of", Form.BINARY),
        ("text/unheard-of; charset=utf-8", "text/unheard-of; charset=UTF-8", Form.OPEN),
    ],
)
def test_a_content_type_is_binary_or_text_and_written_in_one_way(
    text: str, content_type: str, form: Form
) -> None:
    media = parsed(text)

    assert (media.content_type, media.form) == (content_type, form)


@pytest.mark.parametrize("text", ["", "xyzbar", "a/", "a/b c", "a/b; c", "a/b;=d"])
def test_what_is_no_media_type_is_none(text: str) -> None:
    assert MediaType.parse(text) is None


def test_only_the_bare_type_is_json_and_what_ends_in_plus_json_is_of_its_family() -> None:
    assert parsed("application/json; charset=utf-8").is_json
    assert not parsed("application/json; version=1").is_json_family
    assert parsed("application/hal+json").is_json_family
    assert not parsed("application/hal+json").is_json


@pytest.mark.parametrize(
    ("accept", "accepted"),
    [
        (None, True),
        ("", True),
        ("*/*", True),
        ("text/html", True),
        ("text/*;q=0.1", True),
        ("application/json", False),
        ("application/json, */*;q=0.5", True),
        ("text/html;q=0, */*", False),
        ("text/*;q=0, text/html", True),
        ("nonsense", True),
        ("audio/ogg, nonsense", True),
        ("audio/ogg, *; q=.2", True),
        ("audio/ogg, *; q=0", False),
    ],
)
def test_the_most_exact_range_decides(accept: str | None, accepted: bool) -> None:
    assert accepts(accept, "text/html; charset=UTF-8") is accepted
