//! The power fails under the queue of texts: SQLite on a disk that had not written all it was given.
//!
//! A unit is on disk when it returns. What the next one wrote may then be there in part: cut off, with sectors
//! missing, old, or in another order, and with whatever else was in those places. For each of these disks the store must
//! open, and hold exactly what it held before that unit or behind it. A disk that lies about syncs may lose more, but only
//! from the end.

use crate::inventory::{NOW, at, resource};
use crate::messages::text;
use crate::writing::write;
use std::collections::HashMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use trunkline_model::TrunkId;
use trunkline_storage::messages::delivery::{self, Next, Report, Settled, Taken};
use trunkline_storage::messages::queue::{self, Lane, Terms};
use trunkline_storage::messages::{self, NewMessage, Outcome, Status, history};
use trunkline_storage::{Store, resources};
use uuid::Uuid;

/// Units of a run; each has some fifty operations on messages, so that they are ten thousand.
const UNITS: usize = 200;

/// Operations of a unit.
const BATCH: usize = 50;

/// Disks looked at for each unit, unless TRUNKLINE_POWER_DISKS says how many.
const DISKS: usize = 2;

/// Units after which the log is folded into the file.
const FOLD_EVERY: usize = 20;

/// What disks write at once.
const SECTOR: usize = 512;

/// What a database holds, as a hash of its words.
type Contents = u64;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_disk_had_written_the_queue_is_whole() {
    let disks = std::env::var("TRUNKLINE_POWER_DISKS").map_or(DISKS, |disks| disks.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("queue.db");
    let mut random = Random(20_261_127);
    let mut store = open(&file).await;
    let tenant = resource("contoso");
    let owner = tenant.id;
    write!(store, |db| resources::insert(db, &tenant, &[], at(NOW)).await);
    let mut seen: HashMap<Contents, usize> = HashMap::from([(contents(&store).await, 0)]);
    let mut before = Disk::read(&file);
    for unit in 1..=UNITS {
        work(&store, owner, unit).await;
        let after = Disk::read(&file);
        let now = contents(&store).await;
        assert!(seen.insert(now, unit).is_none(), "unit {unit} changed nothing");
        assert_eq!(after.pages, before.pages, "the log was folded in between");
        for _ in 0..disks {
            let (disk, honest) = after.failed_after(&before, &mut random);
            let found = disk.recover().await;
            let found = seen.get(&found).unwrap_or_else(|| panic!("unit {unit}: the disk holds half a unit"));
            assert!(!honest || *found + 1 >= unit, "unit {} was on disk and is gone", unit - 1);
        }
        before = after;
        if unit % FOLD_EVERY == 0 {
            store.close().await;
            let folded = Disk::read(&file);
            for _ in 0..disks {
                // While the log is folded, it is whole, and the file is a mixture.
                let mixed = Disk { pages: random.mix(&before.pages, &folded.pages), log: before.log.clone() };
                assert_eq!(seen.get(&mixed.recover().await), Some(&unit));
            }
            store = open(&file).await;
            assert_eq!(contents(&store).await, now);
            before = Disk::read(&file);
        }
    }
}

/// One unit: accepts messages and moves others on, all in one transaction.
async fn work(store: &Store, owner: Uuid, unit: usize) {
    let fresh: Vec<NewMessage> = (0..BATCH / 5).map(|to| text(owner, to as u32, "Hello!")).collect();
    let lane = Lane { resource: owner, name: String::new() };
    let now = NOW + unit as i64;
    write!(store, |db| {
        messages::accept(db, &fresh, now).await?;
        let terms = Terms { node: "n1", now_unix_ms: now, lease_until_unix_ms: now + 1_000 };
        let claimed = queue::claim(db, &lane, terms, (BATCH / 5) as u16).await?;
        let trunk = TrunkId::parse("carrier-a").unwrap();
        let taken = claimed.iter().map(|message| Taken {
            message: message.seq,
            segment: 0,
            total: 1,
            reference: 0,
            trunk: trunk.clone(),
            carrier_id: Some(format!("{:X}", message.seq)),
            bare_id: None,
        });
        delivery::take(db, &taken.collect::<Vec<_>>()).await?;
        let reports: Vec<Report> = claimed
            .iter()
            .step_by(2)
            .map(|message| Report { message: message.seq, segment: 0, state: 2, error: None })
            .collect();
        delivery::report(db, &reports).await?;
        let settled = claimed.iter().enumerate().map(|(place, message)| {
            let next = match place % 4 {
                0 => Next::Ended(Outcome {
                    status: Status::Delivered,
                    code: 2000,
                    detail: "delivered".into(),
                    ended_unix_ms: now,
                }),
                1 => Next::Sent,
                2 => Next::Queued { lane: "trunk:carrier-a".into(), due_unix_ms: now },
                _ => return None,
            };
            Some(Settled {
                seq: message.seq,
                claims: message.claims,
                delivery: message.delivery.clone(),
                next,
            })
        });
        delivery::settle(db, &settled.flatten().collect::<Vec<_>>()).await.map(drop)
    });
}

async fn open(file: &Path) -> Store {
    Store::open(&format!("sqlite:{}", file.display())).await.unwrap()
}

async fn contents(store: &Store) -> Contents {
    let mut db = store.read().await.unwrap();
    let listed = history::list(&mut db, &history::Filter::default(), None, u16::MAX).await.unwrap();
    let seqs: Vec<i64> = listed.iter().map(|message| message.seq).collect();
    let segments = delivery::segments(&mut db, &seqs).await.unwrap();
    let mut hasher = DefaultHasher::new();
    format!("{listed:?} {segments:?}").hash(&mut hasher);
    hasher.finish()
}

/// A database file and its log, as a disk holds them.
struct Disk {
    pages: Vec<u8>,
    log: Vec<u8>,
}

impl Disk {
    fn read(file: &Path) -> Self {
        let log = fs::read(file.with_extension("db-wal")).unwrap_or_default();
        Self { pages: fs::read(file).unwrap(), log }
    }

    /// Returns what is there when the power failed between two syncs, and whether the disk was honest about the first.
    fn failed_after(&self, before: &Self, random: &mut Random) -> (Self, bool) {
        let synced = before.log.len();
        let mut log = self.log.clone();
        let honest = random.below(4) > 0;
        let fresh = log.len() - synced;
        match random.below(4) {
            _ if !honest => log.truncate(random.below(log.len() + 1)),
            // Cut off.
            0 => log.truncate(synced + random.below(fresh + 1)),
            // Sectors that are missing, wherever.
            1 => random.sectors(&mut log[synced..], |_| 0),
            // The end is there and the beginning is not.
            2 => log[synced..synced + fresh / 2].fill(0),
            // Sectors with something else in them.
            _ => random.sectors(&mut log[synced..], |octet| octet.wrapping_mul(31).wrapping_add(7)),
        }
        (Self { pages: self.pages.clone(), log }, honest)
    }

    /// Starts anew from this disk, and returns what it holds.
    async fn recover(&self) -> Contents {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("queue.db");
        fs::write(&file, &self.pages).unwrap();
        fs::write(file.with_extension("db-wal"), &self.log).unwrap();
        let store = open(&file).await;
        let contents = contents(&store).await;
        store.close().await;
        contents
    }
}

/// A small generator (SplitMix64), so that every run sees the same disks.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % end.max(1) as u64) as usize
    }

    /// Spoils one sector in three, and at least one.
    fn sectors(&mut self, octets: &mut [u8], spoil: fn(u8) -> u8) {
        let count = octets.len().div_ceil(SECTOR);
        let surely = self.below(count);
        for (at, sector) in octets.chunks_mut(SECTOR).enumerate() {
            if at == surely || self.below(3) == 0 {
                sector.iter_mut().for_each(|octet| *octet = spoil(*octet));
            }
        }
    }

    /// Takes each sector from the one or the other.
    fn mix(&mut self, old: &[u8], new: &[u8]) -> Vec<u8> {
        let mut mixed = new.to_vec();
        for (old, mixed) in old.chunks(SECTOR).zip(mixed.chunks_mut(SECTOR)) {
            if old.len() == mixed.len() && self.below(2) == 0 {
                mixed.copy_from_slice(old);
            }
        }
        mixed
    }
}
