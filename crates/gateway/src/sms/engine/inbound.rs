//! Texts that carriers bring, and parts of them.

use super::super::carrier::{Ack, LinkId};
use super::super::receive::address;
use super::Engine;
use serde_json::{Value as Json, json};
use std::time::Duration;
use trunkline_model::TrunkId;
use trunkline_sms::inbound::Inbound;
use trunkline_sms::segment::{Concat, Joined, Outcome, Piece};
use trunkline_sms::text::gsm7::{Language, NationalTables};
use trunkline_sms::text::{Charset, Decoded};
use trunkline_storage::Error;
use trunkline_storage::messages::inbound::{self, InboundText, Part};

/// Parts read in one go when the engine starts.
const PARTS_AT_ONCE: u16 = 1_000;

impl Engine {
    pub(super) fn inbound(&mut self, link: &LinkId, inbound: Inbound<Ack>) {
        match inbound {
            Inbound::Receipt(receipt) => self.receipt(link, receipt),
            Inbound::UnreadableReceipt { text, handle } => self.unreadable_receipt(link, &text, handle),
            Inbound::Text { from, to, content, handle } => {
                self.text(&link.carrier, &from, &to, content, 1, false);
                self.batch.acks.push((link.clone(), handle));
            }
            Inbound::Part(piece) => self.part(link, piece),
        }
    }

    fn text(&mut self, trunk: &TrunkId, from: &str, to: &str, content: Decoded, segments: u8, partial: bool) {
        self.metrics.sms.received.add(1);
        let body = match content {
            Decoded::Text { text, .. } => text,
            // It says nothing to read; its octets may still say something to whoever expects them.
            Decoded::Binary(octets) => octets.iter().map(|octet| format!("{octet:02x}")).collect(),
        };
        self.batch.texts.push(InboundText {
            seq: 0,
            id: InboundText::new_id(self.clock.unix_ms),
            resource: None,
            trunk: trunk.clone(),
            from: address(from),
            to: address(to),
            body,
            received_unix_ms: self.clock.unix_ms,
            segments,
            partial,
        });
    }

    fn part(&mut self, link: &LinkId, piece: Piece<Ack>) {
        let part = Part {
            id: 0,
            trunk: link.carrier.clone(),
            from: piece.from.clone(),
            to: piece.to.clone(),
            reference: piece.concat.reference,
            total: piece.concat.total,
            part: piece.concat.seq,
            octets: piece.octets.to_vec(),
            decoding: decoding(&piece),
            received_unix_ms: self.clock.unix_ms,
        };
        self.part_numbers += 1;
        self.batch.parts.push((self.part_numbers, part));
        self.batch.acks.push((link.clone(), piece.handle));
        self.parts.insert(self.part_numbers, (link.carrier.clone(), with_handle(piece, 0)));
    }

    /// Takes in that a part is on disk: now it may make its text whole.
    pub(super) fn part_stored(&mut self, number: u64, row: i64) {
        if let Some((trunk, piece)) = self.parts.remove(&number) {
            self.join(&trunk, with_handle(piece, row), Duration::ZERO);
        }
    }

    fn join(&mut self, trunk: &TrunkId, piece: Piece<i64>, age: Duration) {
        let now = self.clock.now;
        let at = now.checked_sub(age).unwrap_or(now);
        let Some(carrier) = self.carriers.get_mut(trunk) else { return };
        match carrier.reassembler.handle_piece(at, piece) {
            Outcome::Whole(joined) => self.joined(trunk, joined),
            Outcome::Held => {}
            Outcome::Duplicate(row) => self.batch.parts_gone.push(row),
        }
        self.take_partial(trunk);
    }

    /// Takes texts that were given up before they were whole.
    pub(super) fn take_partial(&mut self, trunk: &TrunkId) {
        while let Some(joined) =
            self.carriers.get_mut(trunk).and_then(|carrier| carrier.reassembler.poll_partial())
        {
            self.joined(trunk, joined);
        }
    }

    fn joined(&mut self, trunk: &TrunkId, joined: Joined<i64>) {
        let partial = !joined.missing.is_empty();
        self.text(trunk, &joined.from, &joined.to, joined.content, joined.total, partial);
        self.batch.parts_gone.extend(joined.handles);
    }

    /// Takes the parts in again that were on disk when the process ended.
    pub(super) async fn restore_parts(&mut self) -> Result<(), Error> {
        let mut after = 0;
        loop {
            let page = inbound::parts(&mut self.store.read().await?, after, PARTS_AT_ONCE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.id;
            for part in page {
                let age = self.clock.unix_ms.saturating_sub(part.received_unix_ms);
                let age = Duration::from_millis(u64::try_from(age).unwrap_or(0));
                let trunk = part.trunk.clone();
                match piece(part) {
                    Ok(piece) => self.join(&trunk, piece, age),
                    // No carrier's part can be read as this; it would be there for ever.
                    Err(row) => self.batch.parts_gone.push(row),
                }
            }
        }
    }
}

fn with_handle<T>(piece: Piece<T>, handle: i64) -> Piece<i64> {
    let Piece { from, to, concat, octets, charset, tables, fill_bits, .. } = piece;
    Piece { from, to, concat, octets, charset, tables, fill_bits, handle }
}

fn decoding<T>(piece: &Piece<T>) -> Json {
    let charset = CHARSETS.iter().find(|(charset, _)| *charset == piece.charset).map(|(_, name)| *name);
    json!({
        "charset": charset,
        "locking": piece.tables.locking.map(|language| language as u8),
        "single": piece.tables.single.map(|language| language as u8),
        "fill_bits": piece.fill_bits,
    })
}

/// Reads a part as it was stored; or its row, if it is none.
fn piece(part: Part) -> Result<Piece<i64>, i64> {
    let concat = Concat::new(part.reference, part.total, part.part).ok_or(part.id)?;
    let name = part.decoding.get("charset").and_then(Json::as_str).unwrap_or_default();
    let charset =
        CHARSETS.iter().find(|(_, known)| *known == name).map(|(charset, _)| *charset).ok_or(part.id)?;
    let number =
        |key| part.decoding.get(key).and_then(Json::as_u64).and_then(|number| u8::try_from(number).ok());
    let language = |key| number(key).and_then(Language::from_identifier);
    Ok(Piece {
        from: part.from,
        to: part.to,
        concat,
        octets: part.octets.into(),
        charset,
        tables: NationalTables { locking: language("locking"), single: language("single") },
        fill_bits: number("fill_bits").unwrap_or(0),
        handle: part.id,
    })
}

const CHARSETS: [(Charset, &str); 8] = [
    (Charset::Gsm7, "gsm7"),
    (Charset::Gsm7Packed, "gsm7_packed"),
    (Charset::Ascii, "ascii"),
    (Charset::Latin1, "latin1"),
    (Charset::Cyrillic, "cyrillic"),
    (Charset::Hebrew, "hebrew"),
    (Charset::Ucs2, "ucs2"),
    (Charset::Binary, "binary"),
];

#[cfg(test)]
mod tests {
    use super::{CHARSETS, decoding, piece};
    use trunkline_model::TrunkId;
    use trunkline_sms::segment::{Concat, Piece};
    use trunkline_sms::text::gsm7::{Language, NationalTables};
    use trunkline_storage::messages::inbound::Part;

    #[test]
    fn a_part_is_read_back_as_it_came() {
        for (charset, _) in CHARSETS {
            let tables = NationalTables { locking: Some(Language::Urdu), single: None };
            let concat = Concat::new(0xfffe, 3, 2).unwrap();
            let (from, to) = ("12065550111".to_owned(), "14255550100".to_owned());
            let octets = vec![0, 255].into();
            let came = Piece { from, to, concat, octets, charset, tables, fill_bits: 1, handle: 7 };
            let part = Part {
                id: 7,
                trunk: TrunkId::parse("carrier-a").unwrap(),
                from: came.from.clone(),
                to: came.to.clone(),
                reference: concat.reference,
                total: concat.total,
                part: concat.seq,
                octets: came.octets.to_vec(),
                decoding: decoding(&came),
                received_unix_ms: 0,
            };
            assert_eq!(piece(part), Ok(came));
        }
    }
}
