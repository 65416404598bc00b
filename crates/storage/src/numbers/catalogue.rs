//! What there is to sell.

use super::{Number, bits, read};
use crate::db::{Connection, statements, values};
use crate::error::Error;
use trunkline_model::{Capability, NumberType};

statements! {
    // In PostgreSQL whoever reserves takes rows that nobody else is about to take.
    TO_RESERVE = sqlite "SELECT * FROM numbers WHERE country = $1 AND number_type = $2 \
        AND area_code >= $3 AND area_code <= $4 AND free_from_ms <= $5 \
        AND ($6 = '' OR region = $6) AND ($7 = '' OR city = $7) \
        AND (calling_offered & $8) = $8 AND (sms_offered & $9) = $9 ORDER BY area_code, e164 LIMIT $10"
        postgres "SELECT * FROM numbers WHERE country = $1 AND number_type = $2 \
        AND area_code >= $3 AND area_code <= $4 AND free_from_ms <= $5 \
        AND ($6 = '' OR region = $6) AND ($7 = '' OR city = $7) \
        AND (calling_offered & $8) = $8 AND (sms_offered & $9) = $9 ORDER BY area_code, e164 LIMIT $10 \
        FOR UPDATE SKIP LOCKED";
    BROWSE = "SELECT * FROM numbers WHERE country = $1 AND number_type = $2 \
        AND area_code >= $3 AND area_code <= $4 AND free_from_ms <= $5 \
        AND ($6 = '' OR region = $6) AND ($7 = '' OR city = $7) \
        AND (calling_offered & $8) = $8 AND (sms_offered & $9) = $9 \
        AND e164 >= $10 AND e164 < $11 ORDER BY area_code, e164 LIMIT $12";
    AREA_CODES = "SELECT DISTINCT area_code FROM numbers WHERE country = $1 AND number_type = $2 \
        AND free_from_ms <= $3 AND ($4 = '' OR region = $4) AND ($5 = '' OR city = $5) ORDER BY area_code";
    LOCALITIES = "SELECT DISTINCT region, city FROM numbers WHERE country = $1 AND ($2 = '' OR number_type = $2) \
        AND free_from_ms <= $3 AND ($4 = '' OR region = $4) AND city <> '' ORDER BY region, city";
    COUNTRIES = "SELECT DISTINCT country FROM numbers ORDER BY country";
}

/// Which numbers somebody wants. Empty text and no area code mean any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// ISO 3166-1 alpha-2.
    pub country: String,
    /// Kind of number.
    pub number_type: NumberType,
    /// Area code, without country code.
    pub area_code: Option<String>,
    /// State or province, abbreviated.
    pub region: String,
    /// City.
    pub city: String,
    /// What it has to be able to do for calls.
    pub calling: Capability,
    /// What it has to be able to do for messages.
    pub sms: Capability,
}

/// A city with numbers to sell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locality {
    /// State or province, abbreviated.
    pub region: String,
    /// City.
    pub city: String,
}

/// Behind every text of digits.
const LAST: &str = "~";

/// Returns up to `limit` numbers that can be reserved now, in PostgreSQL locked for this transaction.
pub(crate) async fn to_reserve(
    db: &mut Connection,
    wanted: &Wanted,
    limit: u16,
    now_unix_ms: i64,
) -> Result<Vec<Number>, Error> {
    let any = wanted.area_code.is_none();
    let area = wanted.area_code.as_deref();
    let values = values![
        wanted.country.as_str(),
        wanted.number_type.as_str(),
        area.unwrap_or_default(),
        if any { LAST } else { area.unwrap_or_default() },
        now_unix_ms,
        wanted.region.as_str(),
        wanted.city.as_str(),
        bits(wanted.calling),
        bits(wanted.sms),
        i64::from(limit),
    ];
    db.fetch_all(TO_RESERVE, values).await?.iter().map(read).collect()
}

/// Returns up to `limit` numbers that can be reserved now and begin with the digits of `prefix`, which may be
/// empty.
///
/// # Errors
/// Those of a statement.
pub async fn browse(
    db: &mut Connection,
    wanted: &Wanted,
    prefix: &str,
    limit: u16,
    now_unix_ms: i64,
) -> Result<Vec<Number>, Error> {
    let any = wanted.area_code.is_none();
    let area = wanted.area_code.as_deref();
    let values = values![
        wanted.country.as_str(),
        wanted.number_type.as_str(),
        area.unwrap_or_default(),
        if any { LAST } else { area.unwrap_or_default() },
        now_unix_ms,
        wanted.region.as_str(),
        wanted.city.as_str(),
        bits(wanted.calling),
        bits(wanted.sms),
        ["+", prefix].concat(),
        ["+", prefix, LAST].concat(),
        i64::from(limit),
    ];
    db.fetch_all(BROWSE, values).await?.iter().map(read).collect()
}

/// Returns the area codes with numbers that can be reserved now; an empty region or city means any.
///
/// # Errors
/// Those of a statement.
pub async fn area_codes(
    db: &mut Connection,
    country: &str,
    number_type: NumberType,
    region: &str,
    city: &str,
    now_unix_ms: i64,
) -> Result<Vec<String>, Error> {
    let values = values![country, number_type.as_str(), now_unix_ms, region, city];
    db.fetch_all(AREA_CODES, values).await?.iter().map(|row| row.read("area_code")).collect()
}

/// Returns the cities with numbers that can be reserved now; an empty region means any.
///
/// # Errors
/// Those of a statement.
pub async fn localities(
    db: &mut Connection,
    country: &str,
    number_type: Option<NumberType>,
    region: &str,
    now_unix_ms: i64,
) -> Result<Vec<Locality>, Error> {
    let values = values![country, number_type.map_or("", NumberType::as_str), now_unix_ms, region];
    let rows = db.fetch_all(LOCALITIES, values).await?;
    rows.iter().map(|row| Ok(Locality { region: row.read("region")?, city: row.read("city")? })).collect()
}

/// Returns the countries that the inventory has numbers of.
///
/// # Errors
/// Those of a statement.
pub async fn countries(db: &mut Connection) -> Result<Vec<String>, Error> {
    db.fetch_all(COUNTRIES, values![]).await?.iter().map(|row| row.read("country")).collect()
}
