//! Putting received parts together: in any order, within limits, for a limited time.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::udh::Concat;
use crate::party::Masked;
use crate::text::gsm7::NationalTables;
use crate::text::{Charset, Decoded};

/// What one peer may keep waiting here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long a message waits for its missing parts (rules D.4: 24 h).
    pub wait: Duration,
    /// Most octets held for all unfinished messages together, overhead included (rules D.4: 1 MiB).
    pub octets_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { wait: Duration::from_secs(24 * 3600), octets_max: 1 << 20 }
    }
}

/// One received part of a longer message. `Debug` hides the text and most of the numbers.
///
/// `T` is whatever the owner has to find the part again in its store, so that parts can be made durable, and their
/// deliver_sm acknowledged, before the message is whole.
#[derive(Clone, PartialEq, Eq)]
pub struct Piece<T> {
    /// The sender's address.
    pub from: String,
    /// The recipient's address.
    pub to: String,
    /// Which part it is.
    pub concat: Concat,
    /// Its octets without the header.
    pub octets: Bytes,
    /// How they are to be read.
    pub charset: Charset,
    /// The national tables its header named.
    pub tables: NationalTables,
    /// Bits between the header and the first packed septet.
    pub fill_bits: u8,
    /// The owner's handle of the part.
    pub handle: T,
}

/// A message put together, or as much of it as came. `Debug` hides the text and most of the numbers.
#[derive(Clone, PartialEq, Eq)]
pub struct Joined<T> {
    /// The sender's address.
    pub from: String,
    /// The recipient's address.
    pub to: String,
    /// What it says; parts that never came are left out.
    pub content: Decoded,
    /// The parts that came, in order.
    pub handles: Vec<T>,
    /// How many parts there should have been.
    pub total: u8,
    /// The numbers of the parts that never came.
    pub missing: Vec<u8>,
}

impl<T: fmt::Debug> fmt::Debug for Piece<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Piece")
            .field("from", &Masked(&self.from))
            .field("to", &Masked(&self.to))
            .field("concat", &self.concat)
            .field("octets", &self.octets.len())
            .field("charset", &self.charset)
            .field("handle", &self.handle)
            .finish_non_exhaustive()
    }
}

impl<T: fmt::Debug> fmt::Debug for Joined<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Joined")
            .field("from", &Masked(&self.from))
            .field("to", &Masked(&self.to))
            .field("content", &self.content)
            .field("handles", &self.handles)
            .field("total", &self.total)
            .field("missing", &self.missing)
            .finish()
    }
}

/// What became of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome<T> {
    /// It was the last one that was missing.
    Whole(Joined<T>),
    /// It waits for the others.
    Held,
    /// The part was there already: acknowledge it and drop it.
    Duplicate(T),
}

/// Puts the parts that one peer sends together.
///
/// After every call, drain [`poll_partial`](Self::poll_partial), then read [`poll_timeout`](Self::poll_timeout).
pub struct Reassembler<T> {
    limits: Limits,
    messages: BTreeMap<Key, Unfinished<T>>,
    /// When each unfinished message is given up, the earliest first; the number tells two of one instant apart.
    deadlines: BTreeMap<(Instant, u64), Key>,
    arrivals: u64,
    octets: usize,
    partial: VecDeque<Joined<T>>,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    from: String,
    to: String,
    reference: u16,
    total: u8,
}

struct Unfinished<T> {
    deadline: (Instant, u64),
    parts: BTreeMap<u8, Piece<T>>,
}

impl<T> fmt::Debug for Reassembler<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reassembler({} messages, {} octets)", self.messages.len(), self.octets)
    }
}

/// What a part costs besides its octets: both addresses, twice, and the map's nodes.
const OVERHEAD_OCTETS: usize = 192;

impl<T> Reassembler<T> {
    /// Returns an empty table.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            messages: BTreeMap::new(),
            deadlines: BTreeMap::new(),
            arrivals: 0,
            octets: 0,
            partial: VecDeque::new(),
        }
    }

    /// Takes a part in. If the table is over its limit then, the oldest messages are given up as they are.
    pub fn handle_piece(&mut self, now: Instant, piece: Piece<T>) -> Outcome<T> {
        let Concat { reference, total, seq } = piece.concat;
        let key = Key { from: piece.from.clone(), to: piece.to.clone(), reference, total };
        match self.messages.get(&key).and_then(|message| message.parts.get(&seq)) {
            Some(held) if held.octets == piece.octets => return Outcome::Duplicate(piece.handle),
            // The sender has come round to the reference of a message that never became whole.
            Some(_) => {
                let stale = self.take(&key);
                self.partial.extend(stale);
            }
            None => {}
        }
        self.octets += cost(&piece);
        self.arrivals += 1;
        let deadline = (now + self.limits.wait, self.arrivals);
        let message = self.messages.entry(key.clone()).or_insert_with(|| {
            self.deadlines.insert(deadline, key.clone());
            Unfinished { deadline, parts: BTreeMap::new() }
        });
        message.parts.insert(seq, piece);
        if message.parts.len() == usize::from(total)
            && let Some(whole) = self.take(&key)
        {
            return Outcome::Whole(whole);
        }
        while self.octets > self.limits.octets_max && self.give_up_oldest() {}
        Outcome::Held
    }

    /// Gives up the messages whose time is over.
    pub fn handle_timeout(&mut self, now: Instant) {
        while self.poll_timeout().is_some_and(|at| at <= now) && self.give_up_oldest() {}
    }

    /// Returns the next message that was given up, its missing parts named (rules D.4: delivered, flagged).
    pub fn poll_partial(&mut self) -> Option<Joined<T>> {
        self.partial.pop_front()
    }

    /// Returns when [`handle_timeout`](Self::handle_timeout) is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.first_key_value().map(|((at, _), _)| *at)
    }

    /// Returns how many octets are held, overhead included.
    pub fn octets_held(&self) -> usize {
        self.octets
    }

    fn give_up_oldest(&mut self) -> bool {
        let Some((_, key)) = self.deadlines.first_key_value() else { return false };
        let key = key.clone();
        let joined = self.take(&key);
        self.partial.extend(joined);
        true
    }

    fn take(&mut self, key: &Key) -> Option<Joined<T>> {
        let message = self.messages.remove(key)?;
        self.deadlines.remove(&message.deadline);
        self.octets -= message.parts.values().map(cost).sum::<usize>();
        let missing = (1..=key.total).filter(|seq| !message.parts.contains_key(seq)).collect();
        let parts: Vec<Piece<T>> = message.parts.into_values().collect();
        Some(Joined {
            from: key.from.clone(),
            to: key.to.clone(),
            content: content(&parts),
            handles: parts.into_iter().map(|part| part.handle).collect(),
            total: key.total,
            missing,
        })
    }
}

fn cost<T>(piece: &Piece<T>) -> usize {
    piece.octets.len() + 2 * (piece.from.len() + piece.to.len()) + OVERHEAD_OCTETS
}

/// Reads all parts as one where they are of one kind: some senders cut surrogate pairs and escapes in two.
fn content<T>(parts: &[Piece<T>]) -> Decoded {
    let Some(first) = parts.first() else { return Decoded::Text { text: String::new(), lossy: false } };
    let alike = parts.iter().all(|part| part.charset == first.charset && part.tables == first.tables);
    // Packed septets begin anew in every part.
    if alike && first.charset != Charset::Gsm7Packed {
        let octets: Vec<u8> = parts.iter().flat_map(|part| part.octets.iter().copied()).collect();
        return first.charset.decode(&octets, first.tables, 0);
    }
    let (mut text, mut lossy) = (String::new(), false);
    for part in parts {
        match part.charset.decode(&part.octets, part.tables, part.fill_bits) {
            Decoded::Text { text: part, lossy: lost } => {
                text.push_str(&part);
                lossy |= lost;
            }
            Decoded::Binary(_) => lossy = true,
        }
    }
    Decoded::Text { text, lossy }
}

#[cfg(test)]
mod tests;
