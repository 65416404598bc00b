//! Reservations as they are shown.

use super::super::wire::{self, Availability, AvailableNumber, Capabilities, Cost, ReservationStatus};
use crate::timestamp::iso8601;
use trunkline_storage::numbers;
use trunkline_storage::reservations::{Reservation, State};
use trunkline_storage::{Connection, Error};

/// A reservation as lists show it.
pub(super) fn summary(reservation: &Reservation) -> wire::Reservation {
    wire::Reservation {
        id: reservation.id.to_string(),
        expires_at: iso8601(reservation.expires_unix_ms),
        phone_numbers: None,
        status: match reservation.state {
            State::Active => ReservationStatus::Active,
            State::Completed => ReservationStatus::Completed,
            State::Expired | State::Cancelled => ReservationStatus::Expired,
        },
    }
}

/// A reservation with its numbers, by their ids.
pub(super) async fn with_numbers(
    db: &mut Connection,
    reservation: &Reservation,
) -> Result<wire::Reservation, Error> {
    let mut shown = summary(reservation);
    let status = match reservation.state {
        State::Active => Availability::Reserved,
        State::Completed => Availability::Purchased,
        State::Expired | State::Cancelled => Availability::Expired,
    };
    let all = shown.phone_numbers.get_or_insert_default();
    for (number, terms) in &reservation.numbers {
        let Some(found) = numbers::by_e164(db, *number).await? else { continue };
        let entry = AvailableNumber {
            id: number.digits().to_owned(),
            country_code: found.imported.country,
            phone_number: Some(number.to_string()),
            capabilities: Capabilities::of(terms),
            phone_number_type: found.imported.number_type,
            assignment_type: terms.assignment_type,
            cost: Some(Cost::of(terms)),
            status,
            is_agreement_to_not_resell_required: false,
            error: None,
        };
        all.insert(entry.id.clone(), entry);
    }
    Ok(shown)
}
