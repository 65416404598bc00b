//! The operator's commands on event subscriptions.

use super::Database;
use clap::{Args, Subcommand, ValueEnum};
use trunkline_model::event::EventKind;
use trunkline_storage::events::Schema;

/// `trunkline events`.
#[derive(Debug, Subcommand)]
pub enum EventsCommand {
    /// Have an endpoint told of a resource's events, and wait until it has proved that it wants them.
    ///
    /// The running gateway asks it. Exits with 0 when the subscription is active, and 1 when it failed or is still
    /// pending.
    Subscribe(Subscribe),
    /// List subscriptions.
    List {
        /// Those of this resource, by its name or id. Default: all.
        #[arg(long)]
        resource: Option<String>,
        /// Which database.
        #[command(flatten)]
        database: Database,
    },
    /// Show a subscription, and how many events wait for it and were given up.
    Show(Named),
    /// Delete a subscription, with what it was still to be told.
    Delete(Named),
    /// List events that were given up, the earliest first.
    Dead {
        /// The subscription.
        #[command(flatten)]
        named: Named,
        /// List those behind the one with this number.
        #[arg(long, value_name = "NUMBER", default_value_t = 0)]
        after: i64,
        /// List that many.
        #[arg(long, default_value_t = 100)]
        limit: u16,
    },
    /// Deliver events again that were given up.
    Replay {
        /// The subscription.
        #[command(flatten)]
        named: Named,
        /// Their numbers, as `events dead` prints them. Default: all.
        #[arg(value_name = "NUMBER")]
        numbers: Vec<i64>,
    },
}

/// `trunkline events subscribe`.
#[derive(Debug, Args)]
pub struct Subscribe {
    /// Whose events, by its name or id.
    #[arg(long)]
    pub resource: String,
    /// The endpoint: https://HOST/PATH.
    #[arg(long)]
    pub url: String,
    /// Of which events, by commas: SMSReceived, SMSDeliveryReportReceived.
    #[arg(long, value_name = "TYPES", value_delimiter = ',', required = true, value_parser = EventKind::parse)]
    pub types: Vec<EventKind>,
    /// In which envelope.
    #[arg(long, value_enum, default_value_t = SchemaName::Eventgrid)]
    pub schema: SchemaName,
    /// The subscription's name, unique within the resource: letters, digits and -. Default: the endpoint's host.
    #[arg(long)]
    pub name: Option<String>,
    /// Sign what is sent (Standard Webhooks): whsec_ and base64, or a text of at least 24 characters.
    #[arg(long, value_name = "SECRET")]
    pub hmac_secret: Option<String>,
    /// Send this token in Authorization.
    #[arg(long, value_name = "TOKEN", conflicts_with = "hmac_secret")]
    pub bearer: Option<String>,
    /// Wait that many seconds at most.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(0..=600))]
    pub wait: u64,
    /// Which database.
    #[command(flatten)]
    pub database: Database,
}

/// A subscription by its name.
#[derive(Debug, Args)]
pub struct Named {
    /// Its resource, by its name or id.
    #[arg(long)]
    pub resource: String,
    /// Its name.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Which database.
    #[command(flatten)]
    pub database: Database,
}

/// An envelope on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SchemaName {
    /// That of Event Grid.
    Eventgrid,
    /// CloudEvents 1.0.
    Cloudevents,
}

impl From<SchemaName> for Schema {
    fn from(name: SchemaName) -> Self {
        match name {
            SchemaName::Eventgrid => Self::EventGrid,
            SchemaName::Cloudevents => Self::CloudEvents,
        }
    }
}

impl EventsCommand {
    /// Returns which database it is about.
    pub fn database(&self) -> &Database {
        match self {
            Self::Subscribe(subscribe) => &subscribe.database,
            Self::List { database, .. } => database,
            Self::Show(named) | Self::Delete(named) => &named.database,
            Self::Dead { named, .. } | Self::Replay { named, .. } => &named.database,
        }
    }
}
