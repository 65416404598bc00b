"""Phone numbers: what there is, search, purchase, change, release, reservations, look-ups."""

import uuid

from azure.communication.phonenumbers import (
    OperatorInformationOptions,
    PhoneNumberAssignmentType,
    PhoneNumberCapabilities,
    PhoneNumberCapabilityType,
    PhoneNumberType,
)
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from checks import done, finished, listed, paged, refused

CALLS = PhoneNumberCapabilities(
    calling=PhoneNumberCapabilityType.INBOUND_OUTBOUND, sms=PhoneNumberCapabilityType.NONE
)
GEOGRAPHIC = ("US", PhoneNumberType.GEOGRAPHIC, PhoneNumberAssignmentType.APPLICATION, CALLS)
# The harness keeps nobody waiting: what is begun has ended when it is asked after.
AT_ONCE = {"polling_interval": 0}


async def search(client, area_code="206", quantity=1):
    begin = client.begin_search_available_phone_numbers
    return await finished(begin, *GEOGRAPHIC, area_code=area_code, quantity=quantity, **AT_ONCE)


async def buy(client, **options):
    found = await search(client, **options)
    await finished(client.begin_purchase_phone_numbers, found.search_id, **AT_ONCE)
    return found.phone_numbers


async def list_available_countries(world):
    countries = await listed(world.client("numbers").list_available_countries())
    assert [(country.country_code, country.localized_name) for country in countries] == [("US", "United States")]


async def list_available_localities(world):
    client = world.client("numbers")
    places = await listed(client.list_available_localities("US"))
    assert [place.localized_name for place in places] == ["New York City", "Seattle"]
    pages = await paged(client.list_available_localities("US", max_page_size=1))
    assert [[place.localized_name for place in page] for page in pages] == [["New York City"], ["Seattle"]]


async def list_available_localities_of_a_division(world):
    # A space in the query: clients sign and send it in different forms.
    client = world.client("numbers")
    call = client.list_available_localities
    for division in ("New York", "NY"):
        places = await listed(call("US", administrative_division=division, phone_number_type="geographic"))
        assert [place.localized_name for place in places] == ["New York City"]
        said = places[0].administrative_division
        assert (said.localized_name, said.abbreviated_name) == ("New York", "NY")
    assert await listed(call("US", administrative_division="Atlantis")) == []


async def list_available_offerings(world):
    client = world.client("numbers")
    offerings = await listed(client.list_available_offerings("US"))
    said = [
        (offer.phone_number_type, offer.assignment_type, offer.available_capabilities.sms, offer.cost.amount)
        for offer in offerings
    ]
    assert sorted(said) == [
        ("geographic", "application", "none", 1.0),
        ("geographic", "person", "none", 1.0),
        ("tollFree", "application", "inbound+outbound", 2.0),
    ], said
    call = client.list_available_offerings("US", phone_number_type="tollFree", assignment_type="application")
    (toll_free,) = await listed(call)
    assert (toll_free.cost.iso_currency_symbol if hasattr(toll_free.cost, "iso_currency_symbol") else "USD") == "USD"
    assert toll_free.cost.billing_frequency == "monthly"


async def list_available_area_codes_geographic(world):
    client = world.client("numbers")
    call = client.list_available_area_codes
    codes = await listed(call("US", PhoneNumberType.GEOGRAPHIC))
    assert [code.area_code for code in codes] == ["206", "212", "332"]
    place = {"locality": "New York City", "administrative_division": "NY", "assignment_type": "application"}
    codes = await listed(call("US", PhoneNumberType.GEOGRAPHIC, **place))
    assert [code.area_code for code in codes] == ["212", "332"]
    pages = await paged(call("US", PhoneNumberType.GEOGRAPHIC, max_page_size=2))
    assert [len(page) for page in pages] == [2, 1]


async def list_available_area_codes_toll_free(world):
    call = world.client("numbers").list_available_area_codes
    codes = await listed(call("US", PhoneNumberType.TOLL_FREE, assignment_type="application"))
    assert [code.area_code for code in codes] == ["833"]


async def list_available_area_codes_mobile(world):
    call = world.client("numbers").list_available_area_codes
    assert await listed(call("IE", PhoneNumberType.MOBILE)) == []


async def browse_available_phone_numbers(world):
    client = world.client("numbers")
    found = await done(
        client.browse_available_phone_numbers(
            country_code="US",
            phone_number_type=PhoneNumberType.GEOGRAPHIC,
            calling_capability="inbound+outbound",
            sms_capability="none",
            assignment_type="application",
            phone_number_prefixes=["1212"],
        )
    )
    assert 0 < len(found.phone_numbers) <= 10
    for number in found.phone_numbers:
        assert number.phone_number.startswith("+1212"), number.phone_number
        assert (number.status, number.cost.amount) == ("available", 1.0)
    # Type alone is enough.
    found = await done(client.browse_available_phone_numbers(country_code="US", phone_number_type="tollFree"))
    assert {number.phone_number[:5] for number in found.phone_numbers} == {"+1833"}


async def search_available_phone_numbers(world):
    found = await search(world.client("numbers"), quantity=3)
    assert len(set(found.phone_numbers)) == 3
    assert all(number.startswith("+120655501") for number in found.phone_numbers), found.phone_numbers
    assert (found.phone_number_type, found.assignment_type) == ("geographic", "application")
    assert (found.capabilities.calling, found.capabilities.sms) == ("inbound+outbound", "none")
    assert (found.cost.amount, found.cost.billing_frequency) == (1.0, "monthly")
    assert found.search_expires_by and uuid.UUID(found.search_id)


async def search_that_fails(world):
    # There are two numbers in the area code: the operation begins, and then fails.
    client = world.client("numbers")
    begin = client.begin_search_available_phone_numbers
    poller = await done(begin(*GEOGRAPHIC, area_code="332", quantity=5, **AT_ONCE))
    try:
        await done(poller.result())
    except HttpResponseError as error:
        assert "NotEnoughNumbers" in str(error), error
        return
    raise AssertionError("the search did not fail")


async def cancel_operation(world):
    # Without a method in the clients: the layer under them, which is generated, has it.
    client = world.client("numbers")
    begun = []
    options = {"raw_response_hook": lambda answer: begun.append(answer.http_response.headers.get("operation-id"))}
    begin = client.begin_search_available_phone_numbers
    found = await finished(begin, *GEOGRAPHIC, area_code="206", **AT_ONCE, **options)
    under = client._phone_number_client.phone_numbers
    assert (await done(under.get_operation(begun[0]))).status == "succeeded"
    assert await done(under.cancel_operation(begun[0])) is None
    await refused(404, "NotFound", ResourceNotFoundError, under.get_operation, begun[0])
    await refused(404, "NotFound", ResourceNotFoundError, client.begin_purchase_phone_numbers, found.search_id)


async def purchase_and_get(world):
    client = world.client("numbers")
    (number,) = await buy(client)
    owned = await done(client.get_purchased_phone_number(number))
    assert (owned.id, owned.phone_number, owned.country_code) == (number[1:], number, "US")
    assert (owned.phone_number_type, owned.assignment_type) == ("geographic", "application")
    assert (owned.capabilities.calling, owned.capabilities.sms) == ("inbound+outbound", "none")
    assert owned.cost.amount == 1.0 and owned.purchase_date


async def purchase_twice_is_one_purchase(world):
    client = world.client("numbers")
    found = await search(client)
    before = len(await listed(client.list_purchased_phone_numbers()))
    for _ in range(2):
        await finished(client.begin_purchase_phone_numbers, found.search_id, **AT_ONCE)
    assert len(await listed(client.list_purchased_phone_numbers())) == before + 1


async def purchase_of_an_unknown_search(world):
    begin = world.client("numbers").begin_purchase_phone_numbers
    await refused(404, "NotFound", ResourceNotFoundError, begin, str(uuid.uuid4()))


async def list_purchased_phone_numbers(world):
    client = world.client("numbers")
    bought = await buy(client, quantity=3)
    everything = [number.phone_number for number in await listed(client.list_purchased_phone_numbers())]
    assert set(bought) <= set(everything) and everything == sorted(set(everything))
    pages = await paged(client.list_purchased_phone_numbers(top=1))
    assert [[number.phone_number for number in page] for page in pages] == [[number] for number in everything]
    rest = await listed(client.list_purchased_phone_numbers(skip=2, top=100))
    assert [number.phone_number for number in rest] == everything[2:]


async def update_phone_number_capabilities(world):
    client = world.client("numbers")
    (number,) = await buy(client)
    update = client.begin_update_phone_number_capabilities
    changed = await finished(update, number, calling="outbound", sms="none", **AT_ONCE)
    assert (changed.phone_number, changed.capabilities.calling) == (number, "outbound")
    owned = await done(client.get_purchased_phone_number(number))
    assert owned.capabilities.calling == "outbound"
    changed = await finished(update, number, calling="inbound+outbound", **AT_ONCE)
    assert (changed.capabilities.calling, changed.capabilities.sms) == ("inbound+outbound", "none")
    # A geographic number sends no messages.
    await refused(400, "CapabilityNotSupported", HttpResponseError, update, number, sms="outbound")


async def release_phone_number(world):
    client = world.client("numbers")
    (number,) = await buy(client)
    await finished(client.begin_release_phone_number, number, **AT_ONCE)
    await refused(404, "NotFound", ResourceNotFoundError, client.get_purchased_phone_number, number)
    await refused(404, "NotFound", ResourceNotFoundError, client.begin_release_phone_number, number)
    everything = [number.phone_number for number in await listed(client.list_purchased_phone_numbers())]
    assert number not in everything


async def browse(client, count):
    found = await done(
        client.browse_available_phone_numbers(
            country_code="US",
            phone_number_type="geographic",
            calling_capability="inbound+outbound",
            sms_capability="none",
            assignment_type="application",
            phone_number_prefixes=["1212"],
        )
    )
    return found.phone_numbers[:count]


async def create_or_update_reservation(world):
    client = world.client("numbers")
    change = client.create_or_update_reservation
    one, two, three = await browse(client, 3)
    id = str(uuid.uuid4())
    made = await done(change(reservation_id=id, numbers_to_add=[one, two]))
    assert (made.id, made.status, set(made.phone_numbers)) == (id, "active", {one.id, two.id})
    assert {number.status for number in made.phone_numbers.values()} == {"reserved"}
    changed = await done(change(reservation_id=id, numbers_to_add=[three], numbers_to_remove=[one.id]))
    assert set(changed.phone_numbers) == {two.id, three.id}
    assert changed.expires_at >= made.expires_at
    await done(client.delete_reservation(id))


async def reservation_of_what_another_holds(world):
    client = world.client("numbers")
    change = client.create_or_update_reservation
    one, two = await browse(client, 2)
    first, second = str(uuid.uuid4()), str(uuid.uuid4())
    await done(change(reservation_id=first, numbers_to_add=[one]))
    # 207: what cannot be had is told beside what can.
    partly = await done(change(reservation_id=second, numbers_to_add=[one, two]))
    said = {id: number.status for id, number in partly.phone_numbers.items()}
    assert said == {one.id: "error", two.id: "reserved"}, said
    assert partly.phone_numbers[one.id].error.code == "FailedToReserveNumber"
    for id in (first, second):
        await done(client.delete_reservation(id))


async def get_list_and_delete_reservations(world):
    client = world.client("numbers")
    ids = sorted(str(uuid.uuid4()) for _ in range(3))
    for id, number in zip(ids, await browse(client, 3)):
        await done(client.create_or_update_reservation(reservation_id=id, numbers_to_add=[number]))
    got = await done(client.get_reservation(ids[0]))
    assert (got.id, got.status, len(got.phone_numbers)) == (ids[0], "active", 1)
    active = [r.id for r in await listed(client.list_reservations()) if r.status == "active"]
    assert sorted(active) == ids, active
    pages = await paged(client.list_reservations(max_page_size=1))
    assert all(len(page) == 1 for page in pages) and len(pages) >= 3
    for id in ids:
        assert await done(client.delete_reservation(id)) is None
    active = [r.id for r in await listed(client.list_reservations()) if r.status == "active"]
    assert active == []
    await refused(404, "NotFound", ResourceNotFoundError, client.get_reservation, str(uuid.uuid4()))


async def purchase_reservation(world):
    client = world.client("numbers")
    numbers = await browse(client, 2)
    id = str(uuid.uuid4())
    await done(client.create_or_update_reservation(reservation_id=id, numbers_to_add=numbers))
    await finished(client.begin_purchase_reservation, id, **AT_ONCE)
    assert (await done(client.get_reservation(id))).status == "completed"
    for number in numbers:
        assert (await done(client.get_purchased_phone_number(number.phone_number))).id == number.id


async def search_operator_information(world):
    client = world.client("numbers")
    found = await done(client.search_operator_information("+12065550100"))
    (value,) = found.values_property if hasattr(found, "values_property") else found.values
    assert value.phone_number == "+12065550100"
    assert (value.national_format, value.international_format) == ("(206) 555-0100", "+1 206-555-0100")
    options = OperatorInformationOptions(include_additional_operator_details=True)
    found = await done(client.search_operator_information(["+12065550100", "+18335550100"], options=options))
    values = found.values_property if hasattr(found, "values_property") else found.values
    assert [value.iso_country_code for value in values] == ["US", "US"]
    assert [value.number_type for value in values] == ["geographic", "other"]


CHECKS = [
    list_available_countries,
    list_available_localities,
    list_available_localities_of_a_division,
    list_available_offerings,
    list_available_area_codes_geographic,
    list_available_area_codes_toll_free,
    list_available_area_codes_mobile,
    browse_available_phone_numbers,
    search_available_phone_numbers,
    search_that_fails,
    cancel_operation,
    purchase_and_get,
    purchase_twice_is_one_purchase,
    purchase_of_an_unknown_search,
    list_purchased_phone_numbers,
    update_phone_number_capabilities,
    release_phone_number,
    create_or_update_reservation,
    reservation_of_what_another_holds,
    get_list_and_delete_reservations,
    purchase_reservation,
    search_operator_information,
]
