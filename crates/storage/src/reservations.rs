//! Searches and reservations: numbers held for a resource until a time, and their purchase.

use crate::db::{Connection, Row, Value, statements, values};
use crate::error::Error;
use crate::numbers::{self, Act, Assignment, Number, Place, Terms, Wanted, catalogue, ownership};
use trunkline_model::{E164, NumberState};
use uuid::Uuid;

statements! {
    INSERT = "INSERT INTO reservations (id, resource, kind, state, created_ms, expires_ms, detail) \
        VALUES ($1, $2, $3, 'active', $4, $5, $6)";
    BY_ID = "SELECT * FROM reservations WHERE resource = $1 AND id = $2";
    // Two purchases of one reservation take turns.
    BY_ID_TO_CHANGE = sqlite "SELECT * FROM reservations WHERE resource = $1 AND id = $2"
        postgres "SELECT * FROM reservations WHERE resource = $1 AND id = $2 FOR UPDATE";
    // Nothing is sold to a resource that is deleted at the same moment.
    BY_ID_TO_BUY = sqlite "SELECT v.* FROM reservations v JOIN resources r ON r.id = v.resource \
        WHERE v.resource = $1 AND v.id = $2 AND r.deleted_ms IS NULL"
        postgres "SELECT v.* FROM reservations v JOIN resources r ON r.id = v.resource \
        WHERE v.resource = $1 AND v.id = $2 AND r.deleted_ms IS NULL FOR UPDATE OF v FOR SHARE OF r";
    IN_INVENTORY = "SELECT n.* FROM reservation_numbers h JOIN numbers n ON n.e164 = h.e164 \
        WHERE h.reservation = $1 ORDER BY h.e164";
    LIST = "SELECT * FROM reservations WHERE resource = $1 AND kind = $2 AND id > $3 AND state <> 'cancelled' \
        ORDER BY id LIMIT $4";
    SEARCHES = "SELECT COUNT(*) AS count FROM reservations WHERE resource = $1 AND id >= $2 AND kind = 'search' \
        AND created_ms > $3";
    HOLDING = "SELECT COUNT(*) AS count FROM reservations WHERE resource = $1 AND kind = 'reservation' \
        AND state = 'active' AND expires_ms > $2";
    HELD_COUNT = "SELECT COUNT(*) AS count FROM numbers WHERE owner = $1 AND state = 'reserved' AND free_from_ms > $2";
    // Asked again of each row: it may have been bought or extended since it was chosen.
    EXPIRE = "UPDATE reservations SET state = 'expired' WHERE state = 'active' AND expires_ms <= $1 \
        AND id IN (SELECT id FROM reservations WHERE state = 'active' AND expires_ms <= $1 \
        ORDER BY expires_ms LIMIT $2)";
    SET_STATE = "UPDATE reservations SET state = $2 WHERE id = $1";
    SET_EXPIRY = "UPDATE reservations SET expires_ms = $2 WHERE id = $1";
    NUMBERS = "SELECT * FROM reservation_numbers WHERE reservation = $1 ORDER BY e164";
    INSERT_NUMBER = "INSERT INTO reservation_numbers \
        (reservation, e164, assignment_type, calling, sms, monthly_cost_minor, currency) \
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    DELETE_NUMBER = "DELETE FROM reservation_numbers WHERE reservation = $1 AND e164 = $2";
    PRUNE = "DELETE FROM reservations WHERE id IN (SELECT id FROM reservations WHERE created_ms < $1 \
        ORDER BY created_ms LIMIT $2)";
}

/// What holds the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A search, whose numbers were chosen for the resource.
    Search,
    /// A reservation, whose numbers the resource chose.
    Reservation,
}

impl Kind {
    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Search => "search",
            Self::Reservation => "reservation",
        }
    }
}

/// How far a reservation has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Its numbers are held until it expires.
    Active,
    /// Its time ran out.
    Expired,
    /// Its numbers were bought.
    Completed,
    /// It was given up.
    Cancelled,
}

/// A reservation to make.
#[derive(Debug, Clone, PartialEq)]
pub struct NewReservation {
    /// Its id.
    pub id: Uuid,
    /// For whom.
    pub resource: Uuid,
    /// What holds the numbers.
    pub kind: Kind,
    /// Until when.
    pub expires_unix_ms: i64,
    /// What the API wants to remember of the request.
    pub detail: Option<serde_json::Value>,
}

/// A reservation.
#[derive(Debug, Clone, PartialEq)]
pub struct Reservation {
    /// Its id.
    pub id: Uuid,
    /// For whom.
    pub resource: Uuid,
    /// What holds the numbers.
    pub kind: Kind,
    /// How far it had come at the time asked for.
    pub state: State,
    /// When it was made.
    pub created_unix_ms: i64,
    /// Until when it holds.
    pub expires_unix_ms: i64,
    /// What the API wants to remember of the request.
    pub detail: Option<serde_json::Value>,
    /// Its numbers, and what they are bought under.
    pub numbers: Vec<(E164, Terms)>,
}

/// A reservation that is about to be bought.
#[derive(Debug, Clone, PartialEq)]
pub struct ToBuy {
    /// The reservation.
    pub reservation: Reservation,
    /// Its numbers as the inventory has them, in the same order.
    pub numbers: Vec<Number>,
}

/// What became of a purchase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purchase {
    /// The resource owns the numbers and was charged.
    Done(Vec<Assignment>),
    /// That had happened before; nothing was charged again (INV-5).
    DoneBefore(Vec<Assignment>),
    /// The time ran out, whether or not anyone noticed (INV-4).
    Expired,
    /// It was given up, or holds no numbers.
    Empty,
    /// There is no such resource, or it has no such reservation.
    Unknown,
}

/// Holds numbers that are chosen for the resource. Returns none, and holds none, when there are fewer than
/// `quantity`.
///
/// # Errors
/// [`Error::Contended`] when a number changed at the same moment; [`Error::Duplicate`] for a used id.
pub async fn search(
    db: &mut Connection,
    new: &NewReservation,
    wanted: &Wanted,
    quantity: u16,
    terms: &Terms,
    act: Act<'_>,
) -> Result<Option<Reservation>, Error> {
    let found = catalogue::to_reserve(db, wanted, quantity, act.now_unix_ms).await?;
    if found.len() < usize::from(quantity) {
        return Ok(None);
    }
    let mut reservation = insert(db, new, act).await?;
    for number in &found {
        hold(db, &reservation, number, terms, act).await?;
        reservation.numbers.push((number.imported.number, terms.clone()));
    }
    Ok(Some(reservation))
}

/// Makes a reservation that holds no numbers yet.
///
/// # Errors
/// [`Error::Duplicate`] for a used id.
pub async fn insert(db: &mut Connection, new: &NewReservation, act: Act<'_>) -> Result<Reservation, Error> {
    let values = values![
        new.id,
        new.resource,
        new.kind.as_str(),
        act.now_unix_ms,
        new.expires_unix_ms,
        Value::json(new.detail.as_ref()),
    ];
    db.execute_later(INSERT, values).await?;
    Ok(Reservation {
        id: new.id,
        resource: new.resource,
        kind: new.kind,
        state: State::Active,
        created_unix_ms: act.now_unix_ms,
        expires_unix_ms: new.expires_unix_ms,
        detail: new.detail.clone(),
        numbers: Vec::new(),
    })
}

/// Writes down a search that found too few numbers: it holds none, and counts among the searches of its resource.
///
/// # Errors
/// [`Error::Duplicate`] for a used id.
pub async fn insert_failed(db: &mut Connection, new: &NewReservation, act: Act<'_>) -> Result<(), Error> {
    insert(db, new, act).await?;
    db.execute_later(SET_STATE, values![new.id, "cancelled"]).await
}

/// Adds a number that the resource chose. Returns false when it can't be had: unknown, not for sale, or held
/// by another reservation (INV-3).
///
/// # Errors
/// [`Error::Contended`] when the number changed at the same moment.
pub async fn add(
    db: &mut Connection,
    reservation: &mut Reservation,
    number: E164,
    terms: &Terms,
    act: Act<'_>,
) -> Result<bool, Error> {
    if reservation.numbers.iter().any(|(held, _)| *held == number) {
        return Ok(true);
    }
    let free = numbers::by_e164(db, number)
        .await?
        .filter(|found| found.free_from_unix_ms.is_some_and(|from| from <= act.now_unix_ms));
    let Some(free) = free else { return Ok(false) };
    hold(db, reservation, &free, terms, act).await?;
    reservation.numbers.push((number, terms.clone()));
    Ok(true)
}

/// Takes a number out again. Returns false when it was not in it.
///
/// # Errors
/// [`Error::Contended`] when the number changed at the same moment.
pub async fn remove(
    db: &mut Connection,
    reservation: &mut Reservation,
    number: E164,
    act: Act<'_>,
) -> Result<bool, Error> {
    if db.execute(DELETE_NUMBER, values![reservation.id, number.to_string()]).await? == 0 {
        return Ok(false);
    }
    reservation.numbers.retain(|(held, _)| *held != number);
    free(db, reservation.id, number, act).await?;
    Ok(true)
}

/// Sets until when an active reservation holds all its numbers.
///
/// # Errors
/// [`Error::Contended`] when a number changed at the same moment.
pub async fn extend(
    db: &mut Connection,
    reservation: &mut Reservation,
    until_unix_ms: i64,
    act: Act<'_>,
) -> Result<(), Error> {
    db.execute_later(SET_EXPIRY, values![reservation.id, until_unix_ms]).await?;
    reservation.expires_unix_ms = until_unix_ms;
    for (number, _) in &reservation.numbers {
        if let Some(held) = held(db, reservation.id, *number).await? {
            let place = Place { free_from: Some(until_unix_ms), ..held_place(reservation) };
            numbers::transition(db, &held, NumberState::Reserved, place, "extend", act).await?;
        }
    }
    Ok(())
}

/// Gives a reservation up and frees its numbers. Returns false when it is not active.
///
/// # Errors
/// [`Error::Contended`] when a number changed at the same moment.
pub async fn cancel(db: &mut Connection, resource: Uuid, id: Uuid, act: Act<'_>) -> Result<bool, Error> {
    let Some(reservation) = to_change(db, resource, id, act.now_unix_ms).await? else { return Ok(false) };
    match reservation.state {
        State::Active | State::Expired => {}
        State::Completed | State::Cancelled => return Ok(false),
    }
    db.execute_later(SET_STATE, values![id, "cancelled"]).await?;
    for (number, _) in &reservation.numbers {
        free(db, id, *number, act).await?;
    }
    Ok(true)
}

/// Buys what a reservation holds, whoever may: [`to_buy`], then [`buy`].
///
/// # Errors
/// [`Error::Contended`] when a number changed at the same moment.
pub async fn purchase(
    db: &mut Connection,
    resource: Uuid,
    id: Uuid,
    ends_unix_ms: Option<i64>,
    act: Act<'_>,
) -> Result<Purchase, Error> {
    match to_buy(db, resource, id, act.now_unix_ms).await? {
        Some(order) => buy(db, order, ends_unix_ms, act).await,
        None => Ok(Purchase::Unknown),
    }
}

/// Returns a reservation of a resource and its numbers as they are at a time, for the unit that buys them: nobody else
/// buys them before it ends. None, too, for a resource that is deleted.
///
/// # Errors
/// Those of a statement.
pub async fn to_buy(
    db: &mut Connection,
    resource: Uuid,
    id: Uuid,
    now_unix_ms: i64,
) -> Result<Option<ToBuy>, Error> {
    let row = db.fetch_optional(BY_ID_TO_BUY, values![resource, id]).await?;
    let Some(reservation) = with_numbers(db, row, now_unix_ms).await? else { return Ok(None) };
    note_expiry(db, &reservation).await?;
    let rows = db.fetch_all(IN_INVENTORY, values![id]).await?;
    let numbers = rows.iter().map(numbers::read).collect::<Result<_, _>>()?;
    Ok(Some(ToBuy { reservation, numbers }))
}

/// Buys what a reservation holds: ownership, charge and audit log in one transaction, or nothing.
///
/// The numbers are owned until they are released, or until `ends_unix_ms`. Eligibility is for the caller to check in
/// the same unit, on the record that [`by_id_steady`](crate::resources::by_id_steady) returns (PROV-20).
///
/// # Errors
/// [`Error::Contended`] when a number changed at the same moment.
pub async fn buy(
    db: &mut Connection,
    order: ToBuy,
    ends_unix_ms: Option<i64>,
    act: Act<'_>,
) -> Result<Purchase, Error> {
    let ToBuy { reservation, numbers } = order;
    let (resource, id) = (reservation.resource, reservation.id);
    match reservation.state {
        State::Active => {}
        State::Completed => {
            return ownership::of_reservation(db, resource, id).await.map(Purchase::DoneBefore);
        }
        State::Expired => return Ok(Purchase::Expired),
        State::Cancelled => return Ok(Purchase::Empty),
    }
    // The hold is the number's own: it may have ended although the reservation has not.
    let held = numbers.iter().filter(|number| {
        number.state == NumberState::Reserved
            && number.reservation == Some(id)
            && number.free_from_unix_ms.is_some_and(|free| free > act.now_unix_ms)
    });
    if held.count() < reservation.numbers.len() {
        return Ok(Purchase::Expired);
    }
    if numbers.is_empty() {
        return Ok(Purchase::Empty);
    }
    let ordering = Place { free_from: None, ..held_place(&reservation) };
    let mut bought = Vec::with_capacity(numbers.len());
    for (number, (_, terms)) in numbers.iter().zip(reservation.numbers) {
        let ordered =
            numbers::transition(db, number, NumberState::Purchasing, ordering, "order", act).await?;
        bought.push(ownership::assign(db, &ordered, resource, terms, ends_unix_ms, act).await?);
    }
    db.execute_later(SET_STATE, values![id, "completed"]).await?;
    Ok(Purchase::Done(bought))
}

/// Returns a reservation of a resource as it is at a time.
///
/// # Errors
/// Those of a statement.
pub async fn by_id(
    db: &mut Connection,
    resource: Uuid,
    id: Uuid,
    now_unix_ms: i64,
) -> Result<Option<Reservation>, Error> {
    let row = db.fetch_optional(BY_ID, values![resource, id]).await?;
    with_numbers(db, row, now_unix_ms).await
}

/// Returns a reservation of a resource as it is at a time, for a unit that changes it: no other changes it
/// before this one ends.
///
/// # Errors
/// Those of a statement.
pub async fn to_change(
    db: &mut Connection,
    resource: Uuid,
    id: Uuid,
    now_unix_ms: i64,
) -> Result<Option<Reservation>, Error> {
    let row = db.fetch_optional(BY_ID_TO_CHANGE, values![resource, id]).await?;
    let found = with_numbers(db, row, now_unix_ms).await?;
    if let Some(found) = &found {
        note_expiry(db, found).await?;
    }
    Ok(found)
}

/// What was seen to be over stays over, even if the clock is set back.
async fn note_expiry(db: &mut Connection, found: &Reservation) -> Result<(), Error> {
    match found.state {
        State::Expired => db.execute_later(SET_STATE, values![found.id, "expired"]).await,
        State::Active | State::Completed | State::Cancelled => Ok(()),
    }
}

/// Writes down that up to `limit` reservations ran out, so that none comes back when the clock is set back. Returns how
/// many there were.
///
/// # Errors
/// Those of a statement.
pub async fn expire(db: &mut Connection, now_unix_ms: i64, limit: u16) -> Result<u64, Error> {
    db.execute(EXPIRE, values![now_unix_ms, i64::from(limit)]).await
}

/// Returns up to `limit` reservations of a resource with ids above `after`, in that order, without their numbers and
/// without those that were given up.
///
/// # Errors
/// Those of a statement.
pub async fn list(
    db: &mut Connection,
    resource: Uuid,
    kind: Kind,
    after: Uuid,
    limit: u16,
    now_unix_ms: i64,
) -> Result<Vec<Reservation>, Error> {
    let rows = db.fetch_all(LIST, values![resource, kind.as_str(), after, i64::from(limit)]).await?;
    rows.iter().map(|row| read(row, now_unix_ms)).collect()
}

/// Counts the searches of a resource made after a time, those that were given up too, as long as their ids are
/// of version 7: no row with an id of before that time is looked at.
///
/// # Errors
/// Those of a statement.
pub async fn searches_since(db: &mut Connection, resource: Uuid, since_unix_ms: i64) -> Result<u64, Error> {
    // RFC 9562 §5.7: the first 48 bits are the time.
    let first = Uuid::from_u128(u128::try_from(since_unix_ms).unwrap_or(0) << 80);
    db.fetch_one(SEARCHES, values![resource, first, since_unix_ms]).await?.narrow("count")
}

/// Counts the reservations of a resource that hold numbers at a time, searches aside.
///
/// # Errors
/// Those of a statement.
pub async fn holding(db: &mut Connection, resource: Uuid, now_unix_ms: i64) -> Result<u64, Error> {
    db.fetch_one(HOLDING, values![resource, now_unix_ms]).await?.narrow("count")
}

/// Counts the numbers that the searches and reservations of a resource hold at a time.
///
/// # Errors
/// Those of a statement.
pub async fn numbers_held(db: &mut Connection, resource: Uuid, now_unix_ms: i64) -> Result<u64, Error> {
    db.fetch_one(HELD_COUNT, values![resource, now_unix_ms]).await?.narrow("count")
}

/// Forgets up to `limit` reservations made before a time, and returns how many. What was bought stays bought.
///
/// # Errors
/// Those of a statement.
pub async fn prune(db: &mut Connection, before_unix_ms: i64, limit: u16) -> Result<u64, Error> {
    db.execute(PRUNE, values![before_unix_ms, i64::from(limit)]).await
}

fn held_place(reservation: &Reservation) -> Place {
    Place {
        owner: Some(reservation.resource),
        reservation: Some(reservation.id),
        free_from: Some(reservation.expires_unix_ms),
        rests_until: None,
    }
}

async fn hold(
    db: &mut Connection,
    reservation: &Reservation,
    number: &Number,
    terms: &Terms,
    act: Act<'_>,
) -> Result<(), Error> {
    numbers::transition(db, number, NumberState::Reserved, held_place(reservation), "reserve", act).await?;
    let values = values![
        reservation.id,
        number.imported.number.to_string(),
        terms.assignment_type.as_str(),
        terms.calling.as_str(),
        terms.sms.as_str(),
        terms.monthly_cost_minor,
        terms.currency.as_str(),
    ];
    db.execute_later(INSERT_NUMBER, values).await
}

async fn held(db: &mut Connection, reservation: Uuid, number: E164) -> Result<Option<Number>, Error> {
    let found = numbers::by_e164(db, number).await?;
    Ok(found
        .filter(|number| number.state == NumberState::Reserved && number.reservation == Some(reservation)))
}

/// Frees a number if this reservation still holds it.
async fn free(db: &mut Connection, reservation: Uuid, number: E164, act: Act<'_>) -> Result<(), Error> {
    if let Some(held) = held(db, reservation, number).await? {
        let place = Place { free_from: Some(0), ..Place::default() };
        numbers::transition(db, &held, NumberState::Available, place, "free", act).await?;
    }
    Ok(())
}

async fn with_numbers(
    db: &mut Connection,
    row: Option<Row>,
    now_unix_ms: i64,
) -> Result<Option<Reservation>, Error> {
    let Some(row) = row else { return Ok(None) };
    let mut reservation = read(&row, now_unix_ms)?;
    for row in db.fetch_all(NUMBERS, values![reservation.id]).await? {
        reservation.numbers.push((row.parse("e164")?, ownership::read_terms(&row)?));
    }
    Ok(Some(reservation))
}

fn read(row: &Row, now_unix_ms: i64) -> Result<Reservation, Error> {
    let expires_unix_ms = row.read("expires_ms")?;
    let state = match row.read_name("state")? {
        State::Active if expires_unix_ms <= now_unix_ms => State::Expired,
        state => state,
    };
    Ok(Reservation {
        id: row.read("id")?,
        resource: row.read("resource")?,
        kind: row.read_name("kind")?,
        state,
        created_unix_ms: row.read("created_ms")?,
        expires_unix_ms,
        detail: row.read_json("detail")?,
        numbers: Vec::new(),
    })
}
