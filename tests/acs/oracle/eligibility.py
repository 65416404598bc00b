"""An oracle of who may provision which number, written from the rules alone (A.3 to A.5, PROV-01 to PROV-09).

It shares no line with the Rust code that it judges: it reads the same TOML tables and answers on its own.

    eligibility.py RULES.toml TABLE        every cell of the cross product of A.5, one a line, and its verdict
    eligibility.py RULES.toml rows         the rows of A.5, each with the verdict that A.5 itself states
    eligibility.py RULES.toml area-codes   every area code with the verdict of step 11 under the widest table

A line is: table, alias of PR, billing country, class, number country, type, assignment, calling, sms, area code,
whether there is an emergency address, verdict. `-` stands for nothing.
"""

import functools
import itertools
import re
import sys
import tomllib
from typing import NamedTuple

import phonenumbers
from phonenumbers import PhoneNumberType

ISO_3166_1 = """
AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ CA CC CD
CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF
GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN
KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA
NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI
SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI
VN VU WF WS YE YT ZA ZM ZW
""".split()

# B.2, and NUM-07 for the toll-free ones.
CANADIAN = """
204 226 236 249 250 257 263 273 289 306 343 354 365 367 368 382 403 416 418 428 431 437 438 450 468 474 506 514 519 548
579 581 584 587 604 613 639 647 672 683 705 709 742 753 778 780 782 807 819 825 867 873 879 902 905 942
""".split()
TOLL_FREE = "800 833 844 855 866 877 888".split()


class Cell(NamedTuple):
    billing: str | None
    subscription: str
    country: str
    type: str
    assignment: str
    calling: str
    sms: str
    area: str | None = None
    emergency: bool = True


def decide(table: dict, ask: Cell) -> str:
    """The verdict: the price, or the code of the first step that fails (A.4)."""
    # Step 3: as recorded, but for case; what is no country code is missing.
    if ask.billing is None or not re.fullmatch("[A-Za-z]{2}", ask.billing):
        return "BillingAddressMissing"
    billed = ask.billing.upper()
    billed = table.get("billing_aliases", {}).get(billed, billed)

    offers = table["offer"]
    if table["require_paid"] and ask.subscription != "paid":
        return "SubscriptionNotEligible"
    steps = [
        ("SubscriptionNotEligible", lambda offer: ask.subscription in offer["subscription_classes"]),
        ("NumberCountryNotOffered", lambda offer: ask.country == offer["number_country"]),
        ("BillingCountryNotEligible", lambda offer: billed in offer["billing_countries"]),
        ("NumberTypeNotOffered", lambda offer: ask.type == offer["number_type"]),
        ("AssignmentTypeNotAllowed", lambda offer: ask.assignment in offer["assignment_types"]),
        (
            "CapabilityNotSupported",
            lambda offer: ask.calling in offer["calling"] and (ask.calling, ask.sms) != ("none", "none"),
        ),
        (
            "CapabilityNotSupported",
            lambda offer: ask.sms in offer["sms"]
            and (ask.sms == "none" or billed in offer.get("sms_billing_countries", [billed])),
        ),
        ("AreaCodeInvalid", lambda offer: ask.area is None or belongs(ask.area, ask.country, ask.type)),
        ("EmergencyAddressRequired", lambda offer: ask.emergency or not needs_emergency_address(offer, ask)),
    ]
    for code, passes in steps:
        offers = [offer for offer in offers if passes(offer)]
        if not offers:
            return code
    return f"OK {offers[0]['monthly_cost_minor']} {offers[0]['currency']}"


def needs_emergency_address(offer: dict, ask: Cell) -> bool:
    rule = offer.get("emergency_address", "never")
    return rule == "always" or (rule == "required_for_person" and ask.assignment == "person")


def belongs(area: str, country: str, type: str) -> bool:
    """Whether an area code is one of that country and type (B.1, B.2)."""
    if type == "tollFree":
        return area in TOLL_FREE
    return area in CANADIAN if country == "CA" else country == "US" and area in american()


@functools.cache
def american() -> set[str]:
    """The geographic area codes of the United States: B.2 lists them no further than by their source."""
    kinds = (PhoneNumberType.FIXED_LINE, PhoneNumberType.FIXED_LINE_OR_MOBILE)
    found = set()
    for area in range(200, 1000):
        number = phonenumbers.parse(f"+1{area}2345678")
        if phonenumbers.number_type(number) in kinds and phonenumbers.region_code_for_number(number) == "US":
            found.add(str(area))
    assert len(found) == 359, "B.2 counts 359"
    return found


CAPABILITIES = ["none", "inbound", "outbound", "inbound+outbound"]


def cross_product():
    axes = [
        [None, *ISO_3166_1],
        ["paid", "trial", "free_credit"],
        ["US", "CA", "PR", "GB", "XX"],
        ["geographic", "tollFree", "mobile", "shortCode"],
        ["person", "application"],
        CAPABILITIES,
        CAPABILITIES,
    ]
    return (Cell(*values) for values in itertools.product(*axes))


def rows_of_a5():
    """The stateless rows of A.5 with what they state: table, alias, cell, verdict, number of the row."""

    def row(number, *values, area=None, emergency=True, table="us-ca-preview", alias=None, expect):
        yield number, table, alias, Cell(*values, area=area, emergency=emergency), expect

    person, app = "person", "application"
    both = "inbound+outbound"
    missing, country = "BillingAddressMissing", "BillingCountryNotEligible"
    capability, area_code = "CapabilityNotSupported", "AreaCodeInvalid"
    plain = ("US", "paid", "US", "geographic", app, "outbound", "none")
    toll_free = ("US", "paid", "US", "tollFree", app, "outbound", "none")
    yield from row(1, "US", "paid", "US", "geographic", person, "outbound", "none", expect="OK 100 USD")
    yield from row(2, "CA", "paid", "US", "geographic", person, "outbound", "none", expect="OK 100 USD")
    yield from row(3, "US", "paid", "US", "tollFree", app, "none", both, expect="OK 200 USD")
    yield from row(4, "CA", "paid", "US", "tollFree", app, both, "outbound", expect="OK 200 USD")
    yield from row(5, "GB", *toll_free[1:], expect=country)
    yield from row(6, "MX", *plain[1:], expect=country)
    yield from row(7, "PR", *plain[1:], expect=country)
    yield from row(8, "PR", *plain[1:], alias="US", expect="OK 100 USD")
    yield from row(9, "US", "trial", *plain[2:], expect="SubscriptionNotEligible")
    yield from row(10, "US", "free_credit", *toll_free[2:], expect="SubscriptionNotEligible")
    yield from row(11, "US", "paid", "CA", *plain[3:], expect="NumberCountryNotOffered")
    yield from row(12, "CA", "paid", "CA", *toll_free[3:], expect="NumberCountryNotOffered")
    yield from row(13, "US", "paid", "US", "tollFree", person, "outbound", "none", expect="AssignmentTypeNotAllowed")
    yield from row(14, "US", "paid", "US", "geographic", app, "outbound", "outbound", expect=capability)
    yield from row(15, "US", "paid", "US", "geographic", app, "none", "none", expect=capability)
    yield from row(16, "US", "paid", "US", "shortCode", app, "none", "outbound", expect="NumberTypeNotOffered")
    yield from row(17, None, *plain[1:], expect=missing)
    yield from row(18, "us", *plain[1:], expect="OK 100 USD")
    yield from row(18, "USA", *plain[1:], expect=missing)
    yield from row(18, "U S", *plain[1:], expect=missing)
    yield from row(19, *plain, area="416", expect=area_code)
    for area in ["809", "876", "787"]:
        yield from row(20, *plain, area=area, expect=area_code)
    yield from row(21, *toll_free, area="425", expect=area_code)
    yield from row(22, *toll_free, area="822", expect=area_code)
    yield from row(
        25, "US", "paid", "US", "geographic", person, "outbound", "none", emergency=False,
        expect="EmergencyAddressRequired",
    )
    old = "acs-2020-10"
    yield from row(2, "CA", "paid", "US", "geographic", person, "outbound", "none", table=old, expect=country)
    yield from row(4, "CA", "paid", "US", "tollFree", app, both, "outbound", table=old, expect=country)
    yield from row(8, "PR", *plain[1:], table=old, expect=country)
    yield from row(1, "US", "paid", "US", "geographic", app, "inbound", "none", table=old, expect=capability)
    wide = "acs-ga"
    yield from row(5, "GB", *toll_free[1:], table=wide, expect="OK 200 USD")
    yield from row(7, "PR", *plain[1:], table=wide, expect="OK 100 USD")
    yield from row(11, "US", "paid", "CA", *plain[3:], table=wide, expect="OK 100 USD")
    yield from row(12, "CA", "paid", "CA", *toll_free[3:], table=wide, expect="OK 200 USD")
    yield from row(14, "US", "paid", "US", "geographic", app, "outbound", "outbound", table=wide, expect="OK 100 USD")
    yield from row(14, "GB", "paid", "US", "geographic", app, "outbound", "outbound", table=wide, expect=capability)


def line(table: str, alias: str | None, cell: Cell, verdict: str) -> str:
    emergency = "yes" if cell.emergency else "no"
    fields = [table, alias, *cell[:8], emergency, verdict]
    return "\t".join(field or "-" for field in fields) + "\n"


def main(rules: str, what: str) -> None:
    with open(rules, "rb") as file:
        tables = tomllib.load(file)["tables"]
    out = sys.stdout
    if what == "rows":
        for number, name, alias, cell, expected in rows_of_a5():
            table = tables[name] | ({"billing_aliases": {"PR": alias}} if alias else {})
            verdict = decide(table, cell)
            if verdict != expected:
                sys.exit(f"row {number} under {name}: the oracle says {verdict}, A.5 says {expected}: {cell}")
            out.write(line(name, alias, cell, expected))
    elif what == "area-codes":
        for area, country, type in itertools.product(range(1000), ["US", "CA"], ["geographic", "tollFree"]):
            cell = Cell("US", "paid", country, type, "application", "outbound", "none", area=f"{area:03}")
            out.write(line("acs-ga", None, cell, decide(tables["acs-ga"], cell)))
    else:
        for cell in cross_product():
            out.write(line(what, None, cell, decide(tables[what], cell)))


if __name__ == "__main__":
    main(*sys.argv[1:])
