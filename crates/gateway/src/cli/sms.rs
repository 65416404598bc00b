//! The operator's commands on texts.

use super::Database;
use clap::{Subcommand, ValueEnum};
use trunkline_model::{E164, TrunkId};
use trunkline_storage::messages::{MessageId, Purpose, State};

/// `trunkline sms`.
#[derive(Debug, Subcommand)]
pub enum SmsCommand {
    /// Tell which carrier a message would go to, and why: what the router looks at, in its order.
    ///
    /// Carriers are taken to be up and limits to be unused. Exits with 0 when the message would be sent or wait, and
    /// with 1 when it would be refused.
    Explain {
        /// The sender: a number, a short code or a name.
        #[arg(long, value_name = "SENDER")]
        from: String,
        /// The recipient.
        #[arg(long, value_name = "NUMBER")]
        to: E164,
        /// What the message says; it decides how many segments it has.
        #[arg(long, default_value = "Hello")]
        text: String,
        /// What the message is for.
        #[arg(long, value_enum, default_value_t = PurposeName::Transactional)]
        purpose: PurposeName,
        /// Which database.
        #[command(flatten)]
        database: Database,
    },
    /// List messages that were sent, the latest first.
    List {
        /// Those of this resource, by name or id.
        #[arg(long)]
        resource: Option<String>,
        /// Those in this state.
        #[arg(long, value_enum)]
        state: Option<StateName>,
        /// Those that this carrier has or had last.
        #[arg(long, value_name = "NAME")]
        carrier: Option<TrunkId>,
        /// The conversation with this number: texts from it too.
        #[arg(long, value_name = "NUMBER", conflicts_with_all = ["resource", "state", "carrier"])]
        with: Option<E164>,
        /// Most of them.
        #[arg(long, default_value_t = 50)]
        limit: u16,
        /// Which database.
        #[command(flatten)]
        database: Database,
    },
    /// Show a message: what it says, where it is, and what carriers said of its segments.
    Show {
        /// Its id, `Outgoing_…`.
        #[arg(value_name = "ID")]
        id: MessageId,
        /// Which database.
        #[command(flatten)]
        database: Database,
    },
    /// Let a message go that was set aside.
    Release {
        /// Its id, `Outgoing_…`.
        #[arg(value_name = "ID")]
        id: MessageId,
        /// Which database.
        #[command(flatten)]
        database: Database,
    },
    /// List receipts that speak of no message that is known, the latest first.
    Unmatched {
        /// Most of them.
        #[arg(long, default_value_t = 50)]
        limit: u16,
        /// Which database.
        #[command(flatten)]
        database: Database,
    },
    /// List opt-outs, of one number or all.
    OptOuts {
        /// Whose.
        #[arg(value_name = "NUMBER")]
        recipient: Option<E164>,
        /// Most of them.
        #[arg(long, default_value_t = 1_000)]
        limit: u16,
        /// Which database.
        #[command(flatten)]
        database: Database,
    },
    /// Add and remove opt-outs.
    #[command(subcommand)]
    OptOut(OptOutCommand),
}

/// `trunkline sms opt-out`.
#[derive(Debug, Subcommand)]
pub enum OptOutCommand {
    /// Note that someone wants no more texts from a sender.
    Add {
        /// Between whom.
        #[command(flatten)]
        pair: PairArguments,
        /// Which database.
        #[command(flatten)]
        database: Database,
    },
    /// Note that someone wants texts again, from whomever sms.opt_out_scope says.
    Remove {
        /// Between whom.
        #[command(flatten)]
        pair: PairArguments,
        /// Which database.
        #[command(flatten)]
        database: Database,
    },
}

/// A sender and a recipient.
#[derive(Debug, Clone, clap::Args)]
pub struct PairArguments {
    /// The resource that the sender belongs to, by name or id.
    #[arg(long)]
    pub resource: String,
    /// The sender: a number, a short code or a name.
    #[arg(long, value_name = "SENDER")]
    pub from: String,
    /// Who wants no texts.
    #[arg(value_name = "NUMBER")]
    pub recipient: E164,
}

/// What a message is for, on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PurposeName {
    /// Something the recipient waits for.
    Transactional,
    /// Advertisement.
    Marketing,
}

/// Where a message is, on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StateName {
    /// It waits.
    Queued,
    /// It is on its way to a carrier.
    Sending,
    /// A carrier has it.
    Sent,
    /// It is set aside.
    Quarantined,
    /// It has ended.
    Ended,
}

impl From<PurposeName> for Purpose {
    fn from(name: PurposeName) -> Self {
        match name {
            PurposeName::Transactional => Self::Transactional,
            PurposeName::Marketing => Self::Marketing,
        }
    }
}

impl From<StateName> for State {
    fn from(name: StateName) -> Self {
        match name {
            StateName::Queued => Self::Queued,
            StateName::Sending => Self::Sending,
            StateName::Sent => Self::Sent,
            StateName::Quarantined => Self::Quarantined,
            StateName::Ended => Self::Ended,
        }
    }
}

impl SmsCommand {
    /// Returns which database it is about.
    pub fn database(&self) -> &Database {
        match self {
            Self::Explain { database, .. }
            | Self::List { database, .. }
            | Self::Show { database, .. }
            | Self::Release { database, .. }
            | Self::Unmatched { database, .. }
            | Self::OptOuts { database, .. }
            | Self::OptOut(OptOutCommand::Add { database, .. } | OptOutCommand::Remove { database, .. }) => {
                database
            }
        }
    }
}
