//! The operator's commands on the database: resources, numbers, statements.

use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;
use trunkline_model::{
    AssignmentType, Capability, E164, NumberState, NumberType, SubscriptionClass, UserAddress,
};
use trunkline_storage::ledger::Month;
use trunkline_storage::resources::Which;

/// What every command on the database needs.
#[derive(Debug, Clone, Args)]
pub struct Database {
    /// The configuration file of the gateway whose database it is.
    #[arg(long, short, value_name = "FILE")]
    pub config: PathBuf,
    /// Print one JSON document instead of text.
    #[arg(long)]
    pub json: bool,
}

/// `trunkline resource`.
#[derive(Debug, Subcommand)]
pub enum ResourceCommand {
    /// Make a resource (a tenant) and print the connection string that its clients are configured with.
    Create {
        /// Its name: 1 to 63 of a-z, 0-9 and -, unique among the resources that exist.
        #[arg(long)]
        name: String,
        /// What its billing record says.
        #[command(flatten)]
        billing: BillingProfile,
        /// Where it keeps its data, ISO 3166-1 alpha-2.
        #[arg(long, value_name = "COUNTRY", default_value = "US")]
        data_location: String,
        /// A host that it answers to, on any port; may be given several times. The connection string names the
        /// first. Default: its name below http.public_host, or that host itself for http.default_resource.
        #[arg(long = "host", value_name = "HOST[:PORT]")]
        hosts: Vec<String>,
        /// Which database.
        #[command(flatten)]
        database: Database,
    },
    /// Make a user of a resource and print an access token for it, good for calls and for a day: to try the phone.
    User {
        /// The resource's name or id.
        #[arg(value_name = "RESOURCE")]
        resource: String,
        /// Which database.
        #[command(flatten)]
        database: Database,
    },
    /// List the resources.
    List {
        /// Which database.
        #[command(flatten)]
        database: Database,
    },
    /// Show a resource, with its hosts and how many numbers it has. Keys are shown on request only.
    Show {
        /// Its name or id.
        #[arg(value_name = "RESOURCE")]
        resource: String,
        /// Print its connection strings: they are secrets.
        #[arg(long)]
        keys: bool,
        /// Which database.
        #[command(flatten)]
        database: Database,
    },
    /// Replace an access key and print the new connection string. The other key stays valid meanwhile.
    RotateKeys {
        /// The resource's name or id.
        #[arg(value_name = "RESOURCE")]
        resource: String,
        /// Which key.
        #[arg(long, value_enum)]
        key: KeyName,
        /// Which database.
        #[command(flatten)]
        database: Database,
    },
    /// Replace the billing record. Numbers already owned stay; what may be acquired from now on follows it.
    SetBillingProfile {
        /// The resource's name or id.
        #[arg(value_name = "RESOURCE")]
        resource: String,
        /// What its billing record says.
        #[command(flatten)]
        billing: BillingProfile,
        /// Which database.
        #[command(flatten)]
        database: Database,
    },
    /// Delete a resource that owns no numbers. Its ledger and its audit log stay.
    Delete {
        /// The resource's name or id.
        #[arg(value_name = "RESOURCE")]
        resource: String,
        /// Release its numbers first.
        #[arg(long)]
        release_numbers: bool,
        /// Which database.
        #[command(flatten)]
        database: Database,
    },
}

impl ResourceCommand {
    /// Returns which database it is about.
    pub fn database(&self) -> &Database {
        match self {
            Self::Create { database, .. }
            | Self::User { database, .. }
            | Self::List { database }
            | Self::Show { database, .. }
            | Self::RotateKeys { database, .. }
            | Self::SetBillingProfile { database, .. }
            | Self::Delete { database, .. } => database,
        }
    }
}

/// What a billing record says. What is not given is not on record.
#[derive(Debug, Clone, Args)]
pub struct BillingProfile {
    /// Country of the billing address, ISO 3166-1 alpha-2.
    #[arg(long, value_name = "COUNTRY")]
    pub billing_country: Option<String>,
    /// The billing address was not verified yet: nothing can be acquired until it is.
    #[arg(long)]
    pub unverified: bool,
    /// How the customer pays.
    #[arg(long, value_enum, default_value_t = ClassName::Paid)]
    pub class: ClassName,
    /// An emergency address is on file, which numbers for persons need.
    #[arg(long)]
    pub emergency_address: bool,
}

/// `trunkline number`.
#[derive(Debug, Subcommand)]
pub enum NumberCommand {
    /// Take numbers into the inventory from a CSV file.
    ///
    /// Its first line names the columns: number, trunk, type, calling, sms, country, region, city, monthly_cost,
    /// currency. Needed are number and trunk. All rows are taken or none: every bad one is reported with its line.
    Import {
        /// The file; - for standard input.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Check the file and change nothing.
        #[arg(long)]
        dry_run: bool,
        /// Which database.
        #[command(flatten)]
        database: Database,
    },
    /// List the numbers of the inventory.
    List {
        /// Only those in this state, such as available, assigned, releasing, quarantine or retired.
        #[arg(long)]
        state: Option<NumberState>,
        /// Only those of this resource (name or id).
        #[arg(long)]
        resource: Option<String>,
        /// Most numbers to list.
        #[arg(long, value_name = "COUNT", default_value_t = 1000)]
        limit: u32,
        /// Which database.
        #[command(flatten)]
        database: Database,
    },
    /// Show a number: where it stands, who had it, and what was done to it.
    Show {
        /// The number.
        #[arg(value_name = "NUMBER")]
        number: E164,
        /// Which database.
        #[command(flatten)]
        database: Database,
    },
    /// Take numbers out of the inventory for good. An owned one has to be released first, or --force ends that.
    Retire {
        /// The numbers.
        #[arg(value_name = "NUMBER", required = true)]
        numbers: Vec<E164>,
        /// Also numbers that somebody owns: they are lost to them at once.
        #[arg(long)]
        force: bool,
        /// Which database.
        #[command(flatten)]
        database: Database,
    },
    /// Keep numbers from being sold for some days.
    Quarantine {
        /// The numbers.
        #[arg(value_name = "NUMBER", required = true)]
        numbers: Vec<E164>,
        /// For how long. Default: what the rules in force say of released numbers.
        #[arg(long, value_name = "DAYS")]
        days: Option<u16>,
        /// Which database.
        #[command(flatten)]
        database: Database,
    },
    /// Give a number to a resource, as if it had bought it: the rules decide, and it is charged.
    Give {
        /// The number.
        #[arg(value_name = "NUMBER")]
        number: E164,
        /// The resource's name or id.
        #[arg(long)]
        resource: String,
        /// Calling: none, inbound, outbound or inbound+outbound.
        #[arg(long, value_name = "CAPABILITY", default_value = "inbound+outbound")]
        calling: Capability,
        /// Text messages: none, inbound, outbound or inbound+outbound.
        #[arg(long, value_name = "CAPABILITY", default_value = "none")]
        sms: Capability,
        /// Which database.
        #[command(flatten)]
        database: Database,
    },
    /// Have calls to a number that a resource owns ring at users of that resource, instead of at the trunks of
    /// numbers.inbound.
    Assign {
        /// The number.
        #[arg(long, value_name = "NUMBER")]
        number: E164,
        /// The raw id of a user, 8:acs:RESOURCE_USER; may be given several times. None takes the assignment back.
        #[arg(long = "user", value_name = "USER")]
        users: Vec<UserAddress>,
        /// Call them one after the other instead of all together.
        #[arg(long)]
        in_order: bool,
        /// How long each of them, or all together, may ring.
        #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=300))]
        ring_secs: u16,
        /// A user who is called when none of them takes the call.
        #[arg(long, value_name = "USER", requires = "users")]
        overflow_user: Option<UserAddress>,
        /// Which database.
        #[command(flatten)]
        database: Database,
    },
    /// Tell whether a resource may acquire such a number, and by which rules, step by step.
    ///
    /// Exits with 0 when it may and 1 when it may not.
    Explain {
        /// The resource's name or id.
        #[arg(long)]
        resource: String,
        /// Kind of number: geographic, tollFree, mobile or shortCode.
        #[arg(long, value_name = "TYPE")]
        number_type: NumberType,
        /// Country of the number, ISO 3166-1 alpha-2.
        #[arg(long, value_name = "COUNTRY", default_value = "US")]
        country: String,
        /// Whom it is for: person or application.
        #[arg(long, value_name = "TYPE", default_value = "application")]
        assignment: AssignmentType,
        /// Calling: none, inbound, outbound or inbound+outbound.
        #[arg(long, value_name = "CAPABILITY", default_value = "inbound+outbound")]
        calling: Capability,
        /// Text messages: none, inbound, outbound or inbound+outbound.
        #[arg(long, value_name = "CAPABILITY", default_value = "none")]
        sms: Capability,
        /// An area code.
        #[arg(long, value_name = "CODE")]
        area_code: Option<u16>,
        /// Which database.
        #[command(flatten)]
        database: Database,
    },
}

impl NumberCommand {
    /// Returns which database it is about.
    pub fn database(&self) -> &Database {
        match self {
            Self::Import { database, .. }
            | Self::List { database, .. }
            | Self::Show { database, .. }
            | Self::Retire { database, .. }
            | Self::Quarantine { database, .. }
            | Self::Give { database, .. }
            | Self::Assign { database, .. }
            | Self::Explain { database, .. } => database,
        }
    }
}

/// `trunkline billing`.
#[derive(Debug, Subcommand)]
pub enum BillingCommand {
    /// Print what a resource owes for a month, row by row.
    Statement {
        /// The resource's name or id.
        #[arg(long)]
        resource: String,
        /// The month in UTC, as YYYY-MM.
        #[arg(long, value_name = "MONTH")]
        month: Month,
        /// How to print it.
        #[arg(long, value_enum, default_value_t = StatementFormat::Text)]
        format: StatementFormat,
        /// The configuration file of the gateway whose database it is.
        #[arg(long, short, value_name = "FILE")]
        config: PathBuf,
    },
}

/// How a statement is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StatementFormat {
    /// For people.
    Text,
    /// Comma-separated values (RFC 4180).
    Csv,
    /// One JSON document.
    Json,
}

/// An access key on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KeyName {
    /// The first.
    Primary,
    /// The second.
    Secondary,
}

/// A subscription class on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ClassName {
    /// Paid.
    Paid,
    /// A trial.
    Trial,
    /// Free credit.
    FreeCredit,
}

impl From<KeyName> for Which {
    fn from(name: KeyName) -> Self {
        match name {
            KeyName::Primary => Self::Primary,
            KeyName::Secondary => Self::Secondary,
        }
    }
}

impl From<ClassName> for SubscriptionClass {
    fn from(name: ClassName) -> Self {
        match name {
            ClassName::Paid => Self::Paid,
            ClassName::Trial => Self::Trial,
            ClassName::FreeCredit => Self::FreeCredit,
        }
    }
}
