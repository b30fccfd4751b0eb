"""Invoking: what each answer of OpenWhisk's, or of a gateway before it, means."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest
from client_server import AUTH, HANG_UP, ID, Answer, activated, always, record, refused, serve

from aowhisk import errors
from aowhisk.client import Client
from aowhisk.models import Accepted, Activation, Status

E = TypeVar("E", bound=BaseException)


async def invoke(answer: Answer, name: str = "hello", **how: Any) -> Activation | Accepted:
    async with serve(always(answer)) as server, Client(server.url, AUTH) as client:
        return await client.actions.invoke(name, **how)


async def failing(kind: type[E], answer: Answer, name: str = "hello") -> E:
    async with serve(always(answer)) as server, Client(server.url, AUTH) as client:
        with pytest.raises(kind) as caught:
            await client.actions.invoke(name)
        assert server.posts == 1, "a POST was repeated"
        return caught.value


async def test_a_success_is_its_record() -> None:
    out = await invoke(activated(200, record({"x": 1})))
    assert isinstance(out, Activation)
    assert (out.id, out.status, out.result, out.duration) == (ID, Status.SUCCESS, {"x": 1}, 0.1)


async def test_it_blocks_for_a_short_time_asks_for_the_record_and_for_storing_it() -> None:
    async with (
        serve(always(activated(200, record()))) as server,
        Client(server.url, AUTH) as client,
    ):
        await client.actions.invoke("pkg/my action", {"a": 1}, timeout=5)
    [request] = server.requests
    assert request.path == "/api/v1/namespaces/_/actions/pkg/my%20action"
    assert request.query == {"blocking": "true", "timeout": "5000"}
    assert request.headers["x-ow-extra-logging"] == "on"
    assert request.headers["accept-encoding"] == "identity"
    assert request.json == {"a": 1}


async def test_params_that_are_json_already_go_as_they_are() -> None:
    async with (
        serve(always(activated(200, record()))) as server,
        Client(server.url, AUTH) as client,
    ):
        await client.actions.invoke("hello", b'{"a": 1}')
    assert server.requests[0].body == b'{"a": 1}'


@pytest.mark.parametrize(("seconds", "sent"), [(0, "1"), (900, "60000"), (None, "60000")])
async def test_the_wait_stays_within_what_openwhisk_takes(seconds: float | None, sent: str) -> None:
    async with (
        serve(always(activated(200, record()))) as server,
        Client(server.url, AUTH) as client,
    ):
        await client.actions.invoke("hello", timeout=seconds)
    assert server.requests[0].query["timeout"] == sent


async def test_not_blocking_is_accepted() -> None:
    async with (
        serve(always(activated(202, {"activationId": ID}))) as server,
        Client(server.url, AUTH) as client,
    ):
        assert await client.actions.invoke("hello", blocking=False) == Accepted(ID)
    assert server.requests[0].query == {"blocking": "false"}


@pytest.mark.parametrize(
    ("http", "status"),
    [(502, "application error"), (502, "action developer error"), (500, "whisk internal error")],
)
async def test_fact_1_a_502_or_500_with_an_activation_is_a_result(http: int, status: str) -> None:
    out = await invoke(activated(http, record({"error": "boom"}, status=status)))
    assert isinstance(out, Activation)
    assert out.status is Status(status)
    assert out.result == {"error": "boom"}


async def test_fact_1_a_502_page_of_a_gateway_leaves_the_outcome_unknown() -> None:
    page = "<html><head><title>502 Bad Gateway</title></head><hr>nginx</html>"
    error = await failing(errors.ServerFault, Answer(502, page, {"Content-Type": "text/html"}))
    assert (error.status, error.accepted) == (502, None)
    assert "502 Bad Gateway nginx" in str(error)
    assert "<" not in str(error)


async def test_fact_1_a_record_without_the_header_is_a_result_too() -> None:
    out = await invoke(Answer(502, record({"error": "x"}, status="application error")))
    assert isinstance(out, Activation)


async def test_fact_2_a_blocking_call_that_takes_longer_is_accepted() -> None:
    assert await invoke(activated(202, {"activationId": ID})) == Accepted(ID)


@pytest.mark.parametrize("result", [[1, {"a": 2}], []])
async def test_fact_4_a_bare_array_is_a_success_with_the_headers_id(result: list[Any]) -> None:
    out = await invoke(activated(200, result), "/guest/pkg/hello")
    assert isinstance(out, Activation)
    assert (out.id, out.name, out.namespace) == (ID, "hello", "guest")
    assert (out.status, out.result) == (Status.SUCCESS, result)


async def test_fact_5_a_blocking_answer_has_no_logs() -> None:
    out = await invoke(activated(200, record()))
    assert isinstance(out, Activation)
    assert out.logs == ()


@pytest.mark.parametrize(
    ("text", "per_minute", "count", "allowed"),
    [
        ("Too many requests in the last minute (count: 61, allowed: 60).", True, 61, 60),
        ("Too many concurrent requests in flight (count: 30, allowed: 30).", False, 30, 30),
        ("Too many requests", False, None, None),
    ],
)
async def test_fact_7_each_429_says_which_limit_it_was(
    text: str, per_minute: bool, count: int | None, allowed: int | None
) -> None:
    error = await failing(errors.Throttled, refused(429, text))
    assert (error.per_minute, error.count, error.allowed) == (per_minute, count, allowed)
    assert error.code == "4711abc"
    assert error.can_retry


async def test_a_503_without_an_activation_was_not_accepted() -> None:
    text = "The server is currently unavailable (because it is overloaded or down for maintenance)."
    error = await failing(errors.ServerFault, refused(503, text))
    assert error.accepted is False


@pytest.mark.parametrize("status", [500, 502, 504])
async def test_other_5xx_without_an_activation_are_unknown(status: int) -> None:
    error = await failing(
        errors.ServerFault, refused(status, "There was an internal server error.")
    )
    assert error.accepted is None


async def test_a_5xx_page_with_an_activation_is_polled_for() -> None:
    assert await invoke(activated(504, "gateway timeout")) == Accepted(ID)


async def test_a_connection_lost_inside_the_answer_still_knows_the_activation() -> None:
    assert await invoke(activated(200, record({"x": 1}), cut=20)) == Accepted(ID)


async def test_an_answer_cut_short_without_an_id_is_unknown() -> None:
    error = await failing(errors.Unreachable, Answer(200, record(), cut=20))
    assert error.sent is True


async def test_a_connection_lost_after_the_post_was_read_is_sent() -> None:
    error = await failing(errors.Unreachable, HANG_UP)
    assert error.sent is True
    assert "may have been carried out" in str(error)


async def test_a_200_that_is_no_openwhisk_is_unknown() -> None:
    error = await failing(errors.ServerFault, Answer(200, "welcome to the hotel's wifi"))
    assert error.accepted is None
    assert "apihost" in str(error)


async def test_a_missing_action_says_what_and_where_and_what_to_do() -> None:
    error = await failing(
        errors.NotFound, refused(404, "The requested resource does not exist."), "split"
    )
    assert "action 'split' not found in namespace '_'; deploy it with aowhisk deploy" in str(error)
    assert (error.status, error.request) == (404, "POST /api/v1/namespaces/_/actions/split")


async def test_a_413_is_too_large() -> None:
    text = "Request larger than allowed: 1048577 > 1048576 bytes."
    error = await failing(errors.TooLarge, refused(413, text))
    assert text in str(error)


async def test_params_over_the_limit_are_refused_before_the_post() -> None:
    async with serve(always(HANG_UP)) as server, Client(server.url, AUTH) as client:
        with pytest.raises(errors.TooLarge, match=r"action 'hello' are 1048587 bytes"):
            await client.actions.invoke("hello", {"x": "." * (1024 * 1024 + 3)})
    assert server.requests == []


async def test_the_limit_of_params_can_be_left_to_the_server() -> None:
    async with (
        serve(always(activated(200, record()))) as server,
        Client(server.url, AUTH, payload_limit=None) as client,
    ):
        await client.actions.invoke("hello", {"x": "." * (1024 * 1024)})
    assert len(server.requests[0].body) > 1024 * 1024


async def test_params_that_are_not_json_say_so_and_nothing_is_sent() -> None:
    async with serve(always(HANG_UP)) as server, Client(server.url, AUTH) as client:
        for params in ({"x": object()}, {"x": float("nan")}):
            with pytest.raises(TypeError, match="the params of action 'hello'"):
                await client.actions.invoke("hello", params)
    assert server.requests == []


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (400, "The request content was malformed:\nJSON object expected", errors.Rejected),
        (401, "The supplied authentication is invalid", errors.Unauthorized),
        (403, "The supplied authentication is not authorized to access 'x'.", errors.Forbidden),
        (409, "Resource by this name exists but is not in this collection.", errors.Rejected),
        (415, "The request's Content-Type is not supported.", errors.Rejected),
    ],
)
async def test_each_refusal_is_its_error(
    status: int, text: str, kind: type[errors.OpenWhiskError]
) -> None:
    error = await failing(kind, refused(status, text))
    assert error.status == status
    assert text in str(error)
    assert not error.can_retry


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (408, "The server timed out waiting for the request entity.", errors.Rejected),
        (400, "Request too large", errors.TooLarge),
        (500, "There was an internal server error.", errors.ServerFault),
        (414, "URI too long", errors.Rejected),
    ],
)
async def test_errors_in_plain_text_are_read_too(
    status: int, text: str, kind: type[errors.OpenWhiskError]
) -> None:
    error = await failing(kind, Answer(status, text))
    assert text in str(error)


async def test_a_redirect_is_not_followed_but_told() -> None:
    error = await failing(errors.Rejected, Answer(301, None, {"Location": "https://elsewhere/api"}))
    assert "redirected to https://elsewhere/api" in str(error)


@pytest.mark.parametrize(
    "name", ["", "a/b/c", "/ns/", "/a", "a//b", "-x", "x ", "ä", "a/../b", "x" * 257, "a?b", "//a"]
)
async def test_what_cannot_be_a_name_is_refused_before_sending(name: str) -> None:
    async with serve(always(HANG_UP)) as server, Client(server.url, AUTH) as client:
        with pytest.raises(errors.Rejected, match="nothing was sent") as caught:
            await client.actions.invoke(name)
    assert caught.value.status is None
    assert server.connections == 0


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("hello", "_/actions/hello"),
        ("pkg/hello", "_/actions/pkg/hello"),
        ("/guest/hello", "guest/actions/hello"),
        ("/a@b.c/p k/he-l.l_o&1", "a%40b.c/actions/p%20k/he-l.l_o%261"),
    ],
)
async def test_each_segment_of_a_name_is_encoded_by_itself(name: str, path: str) -> None:
    async with (
        serve(always(activated(200, record()))) as server,
        Client(server.url, AUTH) as client,
    ):
        await client.actions.invoke(name)
    assert server.requests[0].path == f"/api/v1/namespaces/{path}"


async def test_the_key_travels_in_one_header_and_shows_nowhere(
    caplog: pytest.LogCaptureFixture,
) -> None:
    secret = AUTH.partition(":")[2]
    caplog.set_level("DEBUG")
    script: Callable[[Any], Awaitable[Answer]] = always(
        refused(401, "The supplied authentication is invalid")
    )
    async with serve(script) as server, Client(server.url, AUTH) as client:
        with pytest.raises(errors.Unauthorized) as caught:
            await client.actions.invoke("hello")
        texts = [repr(client), repr(client.actions.__dict__), str(caught.value), caplog.text]
    assert server.requests[0].headers["authorization"].startswith("Basic ")
    for text in texts:
        assert secret not in text
        assert server.requests[0].headers["authorization"] not in text


async def test_what_records_have_in_common_is_kept_once() -> None:
    limits = {"key": "limits", "value": {"memory": 256, "timeout": 60000}}
    answers = [activated(200, {**record({"x": n}), "annotations": [limits]}) for n in (1, 2)]
    first, second = [await invoke(answer) for answer in answers]
    assert isinstance(first, Activation)
    assert isinstance(second, Activation)
    assert first.annotations == {"limits": {"memory": 256, "timeout": 60000}}
    assert first.annotations["limits"] is second.annotations["limits"]
