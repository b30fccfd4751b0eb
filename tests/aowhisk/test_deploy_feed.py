"""Triggers with a feed: the feed is told, once, of what becomes of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from deploying import Site, contents, done

from aowhisk.client import Client
from aowhisk.deploy import MARK, apply
from aowhisk.deploy.entity import Mark
from aowhisk.errors import ActionError, DeployError, DeployFailed

FEED = """
import json, os
def main(args):
    line = json.dumps(args) + "\\n"
    file = os.open(LEDGER, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, line.encode())
    os.close(file)
    if os.path.exists(LEDGER + ".refuse"):
        return {"error": "no room for " + args["authKey"]}
    return {}
"""
MANIFEST = """
project: {name: fed, packages: {default: {triggers: {t: {%s}}}}}
"""
FED = "feed: feeds/clock, inputs: {cron: '* * * * *', password: $TOKEN}, annotations: {a: 1}"


class Told:
    """What the feed was told."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "ledger"
        self.refusing = folder / "ledger.refuse"

    def take(self) -> list[dict[str, Any]]:
        """What it was told since the last time."""
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        self.file.unlink(missing_ok=True)
        return [json.loads(line) for line in lines]

    def events(self) -> list[str]:
        return [str(one["lifecycleEvent"]) for one in self.take()]


@pytest.fixture
async def told(site: Site, tmp_path: Path) -> Told:
    """A feed in the namespace, put there by someone else."""
    found = Told(tmp_path)
    await site.client.packages.put("feeds")
    source = FEED.replace("LEDGER", repr(str(found.file)))
    await site.client.actions.put("feeds/clock", source, annotations={"feed": True})
    return found


async def test_a_trigger_with_a_feed_is_made_as_wsk_makes_it(site: Site, told: Told) -> None:
    await site.deploy(MANIFEST % FED)

    (event,) = told.take()
    assert event == {
        "lifecycleEvent": "CREATE",
        "triggerName": "/_/t",
        "authKey": site.namespace.auth,
        "cron": "* * * * *",
        "password": "a-secret-token",
    }
    trigger = await site.client.triggers.get("t")
    assert trigger.parameters == {}
    assert trigger.annotations["feed"] == "/_/feeds/clock"
    assert trigger.annotations["a"] == 1
    assert "a-secret-token" not in json.dumps(trigger.raw)


async def test_a_second_run_does_not_tell_it_again(site: Site, told: Told) -> None:
    await site.deploy(MANIFEST % FED)
    told.take()
    assert done(await site.deploy()) == {}
    assert told.take() == []


async def test_other_inputs_make_it_forget_and_learn_anew(site: Site, told: Told) -> None:
    await site.deploy(MANIFEST % FED)
    told.take()
    await site.deploy(MANIFEST % FED.replace("* * * * *", "0 * * * *"))
    first, second = told.take()
    assert (first["lifecycleEvent"], second["lifecycleEvent"]) == ("DELETE", "CREATE")
    assert second["cron"] == "0 * * * *"


async def test_another_annotation_does_not_concern_it(site: Site, told: Told) -> None:
    await site.deploy(MANIFEST % FED)
    told.take()
    assert done(await site.deploy(MANIFEST % FED.replace("a: 1", "a: 2"))) == {
        "trigger 't'": "update"
    }
    assert told.take() == []
    assert (await site.client.triggers.get("t")).annotations["a"] == 2


async def test_without_the_feed_it_becomes_an_ordinary_one(site: Site, told: Told) -> None:
    await site.deploy(MANIFEST % FED)
    told.take()
    await site.deploy(MANIFEST % "inputs: {n: 1}")
    assert told.events() == ["DELETE"]
    trigger = await site.client.triggers.get("t")
    assert trigger.parameters == {"n": 1}
    assert set(trigger.annotations) == {MARK}


async def test_undeploying_tells_it_to_forget(site: Site, told: Told) -> None:
    before = await contents(site.client)
    await site.deploy(MANIFEST % FED)
    told.take()
    await site.undeploy()
    assert told.events() == ["DELETE"]
    assert await contents(site.client) == before


async def test_undeploying_does_without_a_feed_that_is_gone(site: Site, told: Told) -> None:
    await site.deploy(MANIFEST % FED)
    await site.client.actions.delete("feeds/clock")
    await site.undeploy()
    assert [name for name in await contents(site.client) if name.startswith("trigger")] == []


async def test_undeploying_does_without_a_feed_that_is_no_longer_for_us(site: Site) -> None:
    """OpenWhisk answers 403 for what another namespace does not have, or no longer shares."""
    mark = Mark("it", "x" * 64, feed="sealed").to_json()
    await site.client.triggers.put(
        "t", annotations={MARK: mark, "feed": "/whisk.system/alarms/alarm"}
    )
    await site.undeploy("it")
    assert await contents(site.client) == {}


async def test_what_a_feed_refuses_is_said_without_the_key_and_tried_again(
    site: Site, told: Told
) -> None:
    told.refusing.touch()
    planned = await site.plan(MANIFEST % FED)
    with pytest.raises(DeployFailed) as caught:
        await apply(site.client, planned)
    assert "did not create the trigger 't': no room for ***" in str(caught.value)
    assert site.namespace.secret not in str(caught.value)
    told.refusing.unlink()
    told.take()

    again = await site.deploy()

    assert [step.note for step in again.work] == ["was cut short"]
    assert told.events() == ["DELETE", "CREATE"]
    assert done(await site.plan()) == {}


async def test_a_feed_that_is_not_there_is_said_before(site: Site) -> None:
    with pytest.raises(DeployError, match="trigger 't' refers to /_/feeds/clock"):
        await site.deploy(MANIFEST % FED)
    assert await contents(site.client) == {}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ("triggers: {t: {feed: /whisk.system/alarms/alarm}}", "trigger 't' refers to /whisk"),
        ("dependencies: {b: {location: /whisk.system/alarms}}", "binding 'b' refers to /whisk"),
        ("sequences: {s: {actions: '/other/p/a'}}", "sequence 's' refers to /other/p/a"),
    ],
)
async def test_what_another_namespace_does_not_have_or_share_is_said_before(
    site: Site, fields: str, said: str
) -> None:
    with pytest.raises(DeployError, match=f"{said}.*, which is not on the server, or not for"):
        await site.deploy(f"packages: {{default: {{actions: {{a: {{code: '# x'}}}}, {fields}}}}}")
    assert await contents(site.client) == {}


async def test_a_client_can_do_it_alone(site: Site, told: Told) -> None:
    client: Client = site.client
    await client.triggers.put("mine")
    await client.feeds.create("feeds/clock", "mine", {"cron": "x"})
    await client.feeds.delete("feeds/clock", "mine")
    assert told.events() == ["CREATE", "DELETE"]
    told.refusing.touch()
    with pytest.raises(ActionError, match="the feed feeds/clock did not create"):
        await client.feeds.create("feeds/clock", "mine")
