//! What 10DLC brands have sent on a day, for carriers that count by brand and day (rules D.3).

use crate::db::{Connection, Row, statements, values};
use crate::error::Error;
use serde_json::{Value as Json, json};

statements! {
    ADD = sqlite "INSERT INTO brand_days (brand, day, segments) \
        SELECT value->>0, value->>1, value->>2 FROM json_each($1) WHERE TRUE \
        ON CONFLICT (brand, day) DO UPDATE SET segments = brand_days.segments + excluded.segments"
        postgres "INSERT INTO brand_days (brand, day, segments) \
        SELECT value->>0, value->>1, CAST(value->>2 AS BIGINT) FROM jsonb_array_elements($1) AS day (value) \
        ON CONFLICT (brand, day) DO UPDATE SET segments = brand_days.segments + excluded.segments";
    OF_DAY = "SELECT brand, segments FROM brand_days WHERE day = $1";
    PRUNE = "DELETE FROM brand_days WHERE day < $1";
}

/// Adds segments to the days of brands: brand, day as `2026-11-27`, segments; each pair once.
///
/// # Errors
/// Those of a statement.
pub async fn add(db: &mut Connection, sent: &[(String, String, u32)]) -> Result<(), Error> {
    if sent.is_empty() {
        return Ok(());
    }
    let rows: Json = sent.iter().map(|(brand, day, segments)| json!([brand, day, segments])).collect();
    db.execute(ADD, values![rows]).await.map(drop)
}

/// Returns what each brand has sent on a day.
///
/// # Errors
/// Those of a statement.
pub async fn of_day(db: &mut Connection, day: &str) -> Result<Vec<(String, u64)>, Error> {
    let read = |row: &Row| Ok((row.read("brand")?, row.narrow("segments")?));
    db.fetch_all(OF_DAY, values![day]).await?.iter().map(read).collect()
}

/// Forgets the days before one.
///
/// # Errors
/// Those of a statement.
pub async fn prune(db: &mut Connection, before_day: &str) -> Result<u64, Error> {
    db.execute(PRUNE, values![before_day]).await
}
