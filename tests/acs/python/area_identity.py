"""Users and their tokens."""

import base64
import json
from datetime import datetime, timedelta, timezone

from azure.communication.identity import CommunicationTokenScope as Scope
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceNotFoundError

from checks import done, refused

DAY = timedelta(minutes=1440)


def claims(token: str) -> dict:
    # As the clients do it: with the standard alphabet, in ASCII.
    payload = token.split(".")[1]
    return json.loads(base64.b64decode(payload + "==").decode("ascii"))


def life(token) -> timedelta:
    """How long a token is good for from now on, to the minute."""
    left = datetime.fromisoformat(token.expires_on) - datetime.now(timezone.utc)
    return timedelta(minutes=round(left / timedelta(minutes=1)))


async def create_user(world):
    one, other = [await done(world.client("identity").create_user()) for _ in range(2)]
    for user in (one, other):
        resource, _, rest = user.properties["id"].removeprefix("8:acs:").partition("_")
        assert len(resource) == 36 and rest and "_" not in rest, user.properties["id"]
        assert user.raw_id == user.properties["id"]
    assert one.raw_id != other.raw_id


async def create_user_and_token(world):
    user, token = await done(world.client("identity").create_user_and_token([Scope.CHAT, Scope.VOIP]))
    assert claims(token.token)["skypeid"] == user.raw_id.removeprefix("8:")
    assert life(token) == DAY


async def create_user_and_token_for_a_while(world):
    call = world.client("identity").create_user_and_token([Scope.VOIP], token_expires_in=timedelta(minutes=90))
    _, token = await done(call)
    assert life(token) == timedelta(minutes=90)


async def get_token(world):
    client = world.client("identity")
    user = await done(client.create_user())
    for scopes in [["chat"], ["voip"], ["chat", "voip"], ["chat.join"], ["chat.join.limited"], ["voip.join"]]:
        token = await done(client.get_token(user, scopes))
        said = claims(token.token)
        assert said["acsScope"].split(",") == scopes, said
        assert said["skypeid"] == user.raw_id.removeprefix("8:"), said
        assert said["exp"] - said["iat"] == DAY.total_seconds(), said
        assert life(token) == DAY


async def get_token_for_a_while(world):
    client = world.client("identity")
    user = await done(client.create_user())
    for minutes in (60, 1440):
        token = await done(client.get_token(user, [Scope.CHAT], token_expires_in=timedelta(minutes=minutes)))
        assert life(token) == timedelta(minutes=minutes)


async def get_token_for_too_short_or_long(world):
    client = world.client("identity")
    user = await done(client.create_user())
    for minutes in (59, 1441):
        life = timedelta(minutes=minutes)
        options = {"token_expires_in": life}
        await refused(400, "BadRequest", HttpResponseError, client.get_token, user, [Scope.CHAT], **options)
        await refused(400, "BadRequest", HttpResponseError, client.create_user_and_token, [Scope.CHAT], **options)


async def revoke_tokens(world):
    client = world.client("identity")
    user, _ = await done(client.create_user_and_token([Scope.VOIP]))
    assert await done(client.revoke_tokens(user)) is None
    again = await done(client.get_token(user, [Scope.VOIP]))
    assert claims(again.token)["skypeid"] == user.raw_id.removeprefix("8:")


async def delete_user(world):
    client = world.client("identity")
    user = await done(client.create_user())
    assert await done(client.delete_user(user)) is None
    await refused(404, "NotFound", ResourceNotFoundError, client.get_token, user, [Scope.VOIP])
    await refused(404, "NotFound", ResourceNotFoundError, client.revoke_tokens, user)
    # What is gone is gone: a client that did not see the answer sends it again.
    assert await done(client.delete_user(user)) is None


async def users_of_another_resource(world):
    other = world.client("identity", "TRUNKLINE_CONNECTION_INELIGIBLE")
    user = await done(other.create_user())
    for call, arguments in [("get_token", [[Scope.VOIP]]), ("revoke_tokens", []), ("delete_user", [])]:
        call = getattr(world.client("identity"), call)
        await refused(401, "Denied", ClientAuthenticationError, call, user, *arguments)


async def get_token_for_teams_user(world):
    # Teams is not here, and a client that asks is told so.
    call = world.client("identity").get_token_for_teams_user
    await refused(404, "NotFound", ResourceNotFoundError, call, "token", "client", "user")


CHECKS = [
    create_user,
    create_user_and_token,
    create_user_and_token_for_a_while,
    get_token,
    get_token_for_a_while,
    get_token_for_too_short_or_long,
    revoke_tokens,
    delete_user,
    users_of_another_resource,
    get_token_for_teams_user,
]
