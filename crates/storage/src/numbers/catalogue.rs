//! What there is to sell.

use super::{Number, bits, read};
use crate::db::{Connection, Value, statements, values};
use crate::error::Error;
use std::collections::BTreeSet;
use trunkline_model::{Capability, NumberType};

statements! {
    // What a number offers is written so that PostgreSQL can tell how many do: it sorted all numbers to find ten.
    // In PostgreSQL whoever reserves takes rows that nobody else is about to take.
    // Which was free first is offered first. So an index leads straight to it, past the numbers that are held; it goes
    // by area code, or it does not, and there the area codes are written so that no other index seems to serve.
    TO_RESERVE = sqlite "SELECT * FROM numbers WHERE country = $1 AND number_type = $2 \
        AND ($3 = '' OR area_code >= $3) AND ($4 = '' OR area_code <= $4) AND free_from_ms <= $5 \
        AND ($6 = '' OR region = $6) AND ($7 = '' OR city = $7) \
        AND ($8 = 0 OR calling_offered IN ($8, 3)) AND ($9 = 0 OR sms_offered IN ($9, 3)) \
        AND ($10 = 1 OR e164 NOT LIKE '+1___555%') \
        ORDER BY free_from_ms, e164 LIMIT $11"
        postgres "SELECT * FROM numbers WHERE country = $1 AND number_type = $2 \
        AND ($3 = '' OR area_code >= $3) AND ($4 = '' OR area_code <= $4) AND free_from_ms <= $5 \
        AND ($6 = '' OR region = $6) AND ($7 = '' OR city = $7) \
        AND ($8 = 0 OR calling_offered IN ($8, 3)) AND ($9 = 0 OR sms_offered IN ($9, 3)) \
        AND ($10 = 1 OR e164 NOT LIKE '+1___555%') \
        ORDER BY free_from_ms, e164 LIMIT $11 FOR UPDATE SKIP LOCKED";
    TO_RESERVE_IN_AREA = sqlite "SELECT * FROM numbers WHERE country = $1 AND number_type = $2 \
        AND area_code = $3 AND area_code <= $4 AND free_from_ms <= $5 \
        AND ($6 = '' OR region = $6) AND ($7 = '' OR city = $7) \
        AND ($8 = 0 OR calling_offered IN ($8, 3)) AND ($9 = 0 OR sms_offered IN ($9, 3)) \
        AND ($10 = 1 OR e164 NOT LIKE '+1___555%') \
        ORDER BY free_from_ms, e164 LIMIT $11"
        postgres "SELECT * FROM numbers WHERE country = $1 AND number_type = $2 \
        AND area_code = $3 AND area_code <= $4 AND free_from_ms <= $5 \
        AND ($6 = '' OR region = $6) AND ($7 = '' OR city = $7) \
        AND ($8 = 0 OR calling_offered IN ($8, 3)) AND ($9 = 0 OR sms_offered IN ($9, 3)) \
        AND ($10 = 1 OR e164 NOT LIKE '+1___555%') \
        ORDER BY free_from_ms, e164 LIMIT $11 FOR UPDATE SKIP LOCKED";
    TO_FIND = "SELECT e164 FROM numbers WHERE country = $1 AND number_type = $2 \
        AND ($3 = '' OR area_code >= $3) AND ($4 = '' OR area_code <= $4) AND free_from_ms <= $5 \
        AND ($6 = '' OR region = $6) AND ($7 = '' OR city = $7) \
        AND ($8 = 0 OR calling_offered IN ($8, 3)) AND ($9 = 0 OR sms_offered IN ($9, 3)) \
        AND ($10 = 1 OR e164 NOT LIKE '+1___555%') \
        ORDER BY free_from_ms, e164 LIMIT $11";
    TO_FIND_IN_AREA = "SELECT e164 FROM numbers WHERE country = $1 AND number_type = $2 \
        AND area_code = $3 AND area_code <= $4 AND free_from_ms <= $5 \
        AND ($6 = '' OR region = $6) AND ($7 = '' OR city = $7) \
        AND ($8 = 0 OR calling_offered IN ($8, 3)) AND ($9 = 0 OR sms_offered IN ($9, 3)) \
        AND ($10 = 1 OR e164 NOT LIKE '+1___555%') \
        ORDER BY free_from_ms, e164 LIMIT $11";
    BROWSE = "SELECT * FROM numbers WHERE country = $1 AND number_type = $2 \
        AND area_code >= $3 AND area_code <= $4 AND free_from_ms <= $5 \
        AND ($6 = '' OR region = $6) AND ($7 = '' OR city = $7) \
        AND ($8 = 0 OR calling_offered IN ($8, 3)) AND ($9 = 0 OR sms_offered IN ($9, 3)) \
        AND ($10 = 1 OR e164 NOT LIKE '+1___555%') \
        AND e164 >= $12 AND e164 <= $13 ORDER BY area_code, e164 LIMIT $11";
    // One step of the index for each place and area code, however many numbers each has.
    AREA_CODES = "WITH RECURSIVE first (e164) AS ( \
        SELECT (SELECT e164 FROM numbers WHERE country = $1 AND number_type = $2 AND free_from_ms IS NOT NULL \
        ORDER BY region, city, area_code, free_from_ms LIMIT 1) \
        UNION ALL SELECT COALESCE( \
        (SELECT n.e164 FROM numbers n WHERE n.country = $1 AND n.number_type = $2 AND n.free_from_ms IS NOT NULL \
        AND n.region = o.region AND n.city = o.city AND n.area_code > o.area_code \
        ORDER BY n.area_code, n.free_from_ms LIMIT 1), \
        (SELECT n.e164 FROM numbers n WHERE n.country = $1 AND n.number_type = $2 AND n.free_from_ms IS NOT NULL \
        AND n.region = o.region AND n.city > o.city ORDER BY n.city, n.area_code, n.free_from_ms LIMIT 1), \
        (SELECT n.e164 FROM numbers n WHERE n.country = $1 AND n.number_type = $2 AND n.free_from_ms IS NOT NULL \
        AND n.region > o.region ORDER BY n.region, n.city, n.area_code, n.free_from_ms LIMIT 1)) \
        FROM first JOIN numbers o ON o.e164 = first.e164) \
        SELECT DISTINCT n.area_code FROM first JOIN numbers n ON n.e164 = first.e164 WHERE n.free_from_ms <= $3 \
        AND ($4 = '' OR n.region = $4) AND ($5 = '' OR n.city = $5) ORDER BY n.area_code";
    LOCALITIES = "WITH RECURSIVE first (e164) AS ( \
        SELECT (SELECT e164 FROM numbers WHERE country = $1 AND number_type = $2 AND free_from_ms IS NOT NULL \
        ORDER BY region, city, area_code, free_from_ms LIMIT 1) \
        UNION ALL SELECT COALESCE( \
        (SELECT n.e164 FROM numbers n WHERE n.country = $1 AND n.number_type = $2 AND n.free_from_ms IS NOT NULL \
        AND n.region = o.region AND n.city = o.city AND n.area_code > o.area_code \
        ORDER BY n.area_code, n.free_from_ms LIMIT 1), \
        (SELECT n.e164 FROM numbers n WHERE n.country = $1 AND n.number_type = $2 AND n.free_from_ms IS NOT NULL \
        AND n.region = o.region AND n.city > o.city ORDER BY n.city, n.area_code, n.free_from_ms LIMIT 1), \
        (SELECT n.e164 FROM numbers n WHERE n.country = $1 AND n.number_type = $2 AND n.free_from_ms IS NOT NULL \
        AND n.region > o.region ORDER BY n.region, n.city, n.area_code, n.free_from_ms LIMIT 1)) \
        FROM first JOIN numbers o ON o.e164 = first.e164) \
        SELECT DISTINCT n.region, n.city FROM first JOIN numbers n ON n.e164 = first.e164 \
        WHERE n.free_from_ms <= $3 AND ($4 = '' OR n.region = $4) AND n.city <> '' ORDER BY n.region, n.city";
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
    /// Whether a fictional number will do: one of exchange 555 in country code 1 (NUM-10, NUM-11).
    pub fictional: bool,
}

/// A city with numbers to sell.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Locality {
    /// State or province, abbreviated.
    pub region: String,
    /// City.
    pub city: String,
}

/// Behind every text of digits that a number may hold (E.164 §6.2.1), whatever language the database sorts by: digits
/// come in the same order in all of them, and other characters do not.
const LAST: &str = "9999999999999999";

/// Returns up to `limit` numbers that can be reserved now, in PostgreSQL locked for this transaction.
pub(crate) async fn to_reserve(
    db: &mut Connection,
    wanted: &Wanted,
    limit: u16,
    now_unix_ms: i64,
) -> Result<Vec<Number>, Error> {
    let (from, to) = wanted.area_codes("");
    let values = matching(wanted, &from, &to, now_unix_ms, limit);
    let statement = if wanted.area_code.is_some() { TO_RESERVE_IN_AREA } else { TO_RESERVE };
    db.fetch_all(statement, &values).await?.iter().map(read).collect()
}

/// Says whether `quantity` numbers could be reserved now: for a look before the unit that reserves them, so that a
/// search which finds too few never keeps others waiting.
///
/// # Errors
/// Those of a statement.
pub async fn are_there(
    db: &mut Connection,
    wanted: &Wanted,
    quantity: u16,
    now_unix_ms: i64,
) -> Result<bool, Error> {
    let (from, to) = wanted.area_codes("");
    let values = matching(wanted, &from, &to, now_unix_ms, quantity);
    let statement = if wanted.area_code.is_some() { TO_FIND_IN_AREA } else { TO_FIND };
    Ok(db.fetch_all(statement, &values).await?.len() >= usize::from(quantity))
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
    let (from, to) = wanted.area_codes(prefix);
    let (first, last) = (["+", prefix].concat(), ["+", prefix, LAST].concat());
    let mut values = matching(wanted, &from, &to, now_unix_ms, limit);
    values.extend([first.as_str().into(), last.as_str().into()]);
    db.fetch_all(BROWSE, &values).await?.iter().map(read).collect()
}

impl Wanted {
    /// Returns the first and the last area code that comes into question for numbers with a prefix: the index is
    /// sorted by area code.
    fn area_codes(&self, prefix: &str) -> (String, String) {
        if let Some(area_code) = &self.area_code {
            return (area_code.clone(), area_code.clone());
        }
        // The area codes of country code 1 have three digits (NUM-01).
        let begun = prefix.strip_prefix('1').map_or("", |digits| digits.get(..3).unwrap_or(digits));
        match begun.len() {
            3 => (begun.to_owned(), begun.to_owned()),
            _ => (begun.to_owned(), [begun, LAST].concat()),
        }
    }
}

/// The values that the statements about wanted numbers have in common.
fn matching<'a>(
    wanted: &'a Wanted,
    from: &'a str,
    to: &'a str,
    now_unix_ms: i64,
    limit: u16,
) -> Vec<Value<'a>> {
    vec![
        wanted.country.as_str().into(),
        wanted.number_type.as_str().into(),
        from.into(),
        to.into(),
        now_unix_ms.into(),
        wanted.region.as_str().into(),
        wanted.city.as_str().into(),
        bits(wanted.calling).into(),
        bits(wanted.sms).into(),
        i64::from(wanted.fictional).into(),
        i64::from(limit).into(),
    ]
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
    let mut found = BTreeSet::new();
    for number_type in number_type.map_or(NumberType::ALL.to_vec(), |one| vec![one]) {
        let values = values![country, number_type.as_str(), now_unix_ms, region];
        for row in db.fetch_all(LOCALITIES, values).await? {
            found.insert(Locality { region: row.read("region")?, city: row.read("city")? });
        }
    }
    Ok(found.into_iter().collect())
}

/// Returns the countries that the inventory has numbers of.
///
/// # Errors
/// Those of a statement.
pub async fn countries(db: &mut Connection) -> Result<Vec<String>, Error> {
    db.fetch_all(COUNTRIES, values![]).await?.iter().map(|row| row.read("country")).collect()
}

#[cfg(test)]
mod tests {
    use super::{AREA_CODES, BROWSE, LOCALITIES, TO_FIND, TO_FIND_IN_AREA, TO_RESERVE, TO_RESERVE_IN_AREA};
    use crate::Store;
    use crate::db::{Sql, values};

    #[tokio::test]
    async fn no_catalogue_query_looks_at_every_number() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.db");
        let store = Store::open(&format!("sqlite:{}", path.display())).await.unwrap();
        let mut db = store.read().await.unwrap();
        for statement in
            [AREA_CODES, LOCALITIES, TO_FIND, TO_FIND_IN_AREA, TO_RESERVE, TO_RESERVE_IN_AREA, BROWSE]
        {
            let text: &'static str = format!("EXPLAIN QUERY PLAN {}", statement.sqlite).leak();
            let explained = Sql { name: statement.name, sqlite: text, postgres: text };
            let mut searched = 0;
            for row in db.fetch_all(explained, values![]).await.unwrap() {
                let step: String = row.read("detail").unwrap();
                let of_numbers = [" numbers ", " n ", " o "].iter().any(|name| step.contains(name));
                searched += usize::from(of_numbers && step.starts_with("SEARCH"));
                assert!(!of_numbers || !step.starts_with("SCAN"), "{}: {step}", statement.name);
                assert!(!step.contains("TEMP B-TREE FOR ORDER BY"), "{}: {step}", statement.name);
            }
            assert!(searched > 0, "{}", statement.name);
        }
    }
}
