"""SIP trunks and routes."""

from azure.communication.phonenumbers.siprouting import SipTrunk, SipTrunkRoute
from azure.core.exceptions import HttpResponseError

from checks import done, listed, refused

INVALID = "UnprocessableConfiguration"


def trunk(name: str, port: int) -> SipTrunk:
    return SipTrunk(fqdn=name, sip_signaling_port=port)


def route(name: str, *trunks: str, pattern=r"^\+1[0-9]{10}$") -> SipTrunkRoute:
    return SipTrunkRoute(name=name, description="As said", number_pattern=pattern, trunks=list(trunks))


async def trunks(client) -> dict:
    return {trunk.fqdn: trunk.sip_signaling_port for trunk in await listed(client.list_trunks())}


async def routes(client) -> list:
    return [(r.name, r.description, r.number_pattern, r.trunks) for r in await listed(client.list_routes())]


async def nothing_is_configured_at_first(world):
    client = world.client("sip")
    assert (await trunks(client), await routes(client)) == ({}, [])


async def set_trunks(world):
    client = world.client("sip")
    await done(client.set_trunks([trunk("sbc1.contoso.com", 5061), trunk("sbc2.contoso.com", 5062)]))
    assert await trunks(client) == {"sbc1.contoso.com": 5061, "sbc2.contoso.com": 5062}
    # The list is replaced: what it does not name goes.
    await done(client.set_trunks([trunk("sbc2.contoso.com", 5063), trunk("sbc3.contoso.com", 5061)]))
    assert await trunks(client) == {"sbc2.contoso.com": 5063, "sbc3.contoso.com": 5061}


async def set_trunk(world):
    client = world.client("sip")
    await done(client.set_trunk(trunk("sbc4.contoso.com", 5061)))
    await done(client.set_trunk(trunk("sbc3.contoso.com", 5066)))
    expected = {"sbc2.contoso.com": 5063, "sbc3.contoso.com": 5066, "sbc4.contoso.com": 5061}
    assert await trunks(client) == expected


async def get_trunk(world):
    client = world.client("sip")
    found = await done(client.get_trunk("sbc3.contoso.com"))
    assert (found.fqdn, found.sip_signaling_port) == ("sbc3.contoso.com", 5066)
    try:
        await done(client.get_trunk("sbc9.contoso.com"))
    except KeyError:
        return
    raise AssertionError("a trunk that is not there was found")


async def set_routes(world):
    client = world.client("sip")
    await done(client.set_routes([route("us", "sbc3.contoso.com", "sbc2.contoso.com"), route("rest", pattern=".*")]))
    assert await routes(client) == [
        ("us", "As said", r"^\+1[0-9]{10}$", ["sbc3.contoso.com", "sbc2.contoso.com"]),
        ("rest", "As said", ".*", []),
    ]
    await done(client.set_routes([route("rest", pattern=".*"), route("us", "sbc3.contoso.com")]))
    assert [name for name, *_ in await routes(client)] == ["rest", "us"]


async def delete_trunk(world):
    client = world.client("sip")
    await done(client.delete_trunk("sbc4.contoso.com"))
    assert await trunks(client) == {"sbc2.contoso.com": 5063, "sbc3.contoso.com": 5066}


async def delete_trunk_that_a_route_goes_to(world):
    client = world.client("sip")
    before = await trunks(client)
    await refused(422, INVALID, HttpResponseError, client.delete_trunk, "sbc3.contoso.com")
    assert await trunks(client) == before


async def refused_configurations_change_nothing(world):
    client = world.client("sip")
    before = (await trunks(client), await routes(client))
    for wrong in [
        route("look", "sbc3.contoso.com", pattern=r"(?<=\+1)[0-9]+"),
        route("again", "sbc3.contoso.com", pattern=r"(a)\1"),
        route("broken", "sbc3.contoso.com", pattern="("),
        route("missing", "sbc9.contoso.com"),
        route("", "sbc3.contoso.com"),
    ]:
        await refused(422, INVALID, HttpResponseError, client.set_routes, [wrong])
    for wrong in [trunk("-sbc.contoso.com", 5061), trunk("sbc5.contoso.com", 0), trunk("sbc5.contoso.com", 65536)]:
        await refused(422, INVALID, HttpResponseError, client.set_trunk, wrong)
    assert (await trunks(client), await routes(client)) == before


async def set_nothing(world):
    client = world.client("sip")
    await done(client.set_routes([]))
    await done(client.set_trunks([]))
    assert (await trunks(client), await routes(client)) == ({}, [])


CHECKS = [
    nothing_is_configured_at_first,
    set_trunks,
    set_trunk,
    get_trunk,
    set_routes,
    delete_trunk,
    delete_trunk_that_a_route_goes_to,
    refused_configurations_change_nothing,
    set_nothing,
]
