//! The command line.

mod events;
mod operator;
mod sandbox;
mod sms;

pub use events::{EventsCommand, Named, SchemaName, Subscribe};
pub use operator::{
    BillingCommand, BillingProfile, ClassName, Database, KeyName, NumberCommand, ResourceCommand,
    StatementFormat,
};
pub use sandbox::{Over, Sandbox, SandboxCommand};
pub use sms::{OptOutCommand, PairArguments, PurposeName, SmsCommand, StateName};

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use trunkline_model::Transport;

/// A self-hosted PSTN edge: joins carrier SIP trunks, with real media and a record of every call.
#[derive(Debug, Parser)]
#[command(name = "trunkline", version, arg_required_else_help = true)]
#[command(
    after_help = "Exit status: 0 for success, 1 for a failure, 2 for a command line or configuration that \
                        cannot be used."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the gateway.
    ///
    /// SIGHUP reads trunks, numbers and routes again without touching calls. SIGTERM refuses new calls, waits for
    /// the running ones (shutdown.drain_secs), then ends them and itself; a second signal does so at once.
    Serve(Serve),
    /// Run the sandbox: carriers of calls and texts with magic numbers, for trying and testing without one.
    Sandbox(Sandbox),
    /// Place a call and tell how it went.
    ///
    /// Exits with 0 when the call was answered, 1 when it was not, and 2 when it could not be placed.
    Call(Call),
    /// Look at trunks.
    #[command(subcommand)]
    Trunk(Trunk),
    /// Make and change resources: the tenants of the REST API.
    #[command(subcommand)]
    Resource(ResourceCommand),
    /// Import numbers, look at them, take them out, and ask who may acquire which.
    #[command(subcommand)]
    Number(NumberCommand),
    /// Have endpoints told of events, and see to those that could not be told.
    #[command(subcommand)]
    Events(EventsCommand),
    /// Print what resources owe.
    #[command(subcommand)]
    Billing(BillingCommand),
    /// Look at texts: where they are, where they would go, who wants none.
    #[command(subcommand)]
    Sms(SmsCommand),
    /// Look at configuration files.
    #[command(subcommand)]
    Config(ConfigCommand),
}

/// `trunkline serve`.
#[derive(Debug, Args)]
pub struct Serve {
    /// The configuration file.
    #[arg(long, short, value_name = "FILE")]
    pub config: PathBuf,
    /// Print one line of JSON with all bound addresses when ready.
    #[arg(long)]
    pub ready_json: bool,
}

/// `trunkline call`.
#[derive(Debug, Args)]
pub struct Call {
    /// The number to dial, such as +14255550100, or a whole SIP URI.
    #[arg(value_name = "NUMBER")]
    pub to: String,
    /// The gateway to send the call to.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:5060")]
    pub via: SocketAddr,
    /// Send SIP over this transport.
    #[arg(long, value_enum, default_value_t = TransportName::Udp)]
    pub transport: TransportName,
    /// Local address for SIP; port 0 takes any free one. Default: the address that the system uses towards --via.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
    /// The number to call from.
    #[arg(long, value_name = "NUMBER", default_value = "+14255550199")]
    pub from: String,
    /// Play this WAV file (8 kHz, 16 bits) once the call is answered.
    #[arg(long, value_name = "FILE")]
    pub play: Option<PathBuf>,
    /// Record what is heard, early media included, to this WAV file.
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// Send these digits (0-9 * # A-D) by telephone events, after what is played.
    #[arg(long, value_name = "DIGITS")]
    pub dtmf: Option<String>,
    /// Hang up after that many seconds of talking. Default: two seconds after everything was played and sent, or
    /// after ten seconds when there is neither.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub duration: Option<u64>,
    /// Give up when nobody has answered after that many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub ring: u64,
}

/// `trunkline trunk`.
#[derive(Debug, Subcommand)]
pub enum Trunk {
    /// List the trunks of a configuration file.
    List {
        /// The configuration file.
        #[arg(long, short, value_name = "FILE")]
        config: PathBuf,
    },
    /// Tell what would be decided on a saved INVITE, trunk by trunk.
    ///
    /// Numbers and routes of the configuration's database count too, where there is one.
    ///
    /// Exits with 0 when the call would be let in and 1 when it would be refused.
    Match {
        /// A file that holds the INVITE as it stood on the wire.
        #[arg(value_name = "FILE")]
        invite: PathBuf,
        /// The configuration file.
        #[arg(long, short, value_name = "FILE")]
        config: PathBuf,
        /// Where the INVITE came from. Default: what its topmost Via says.
        #[arg(long, value_name = "ADDRESS")]
        source: Option<IpAddr>,
        /// How it came. Default: what its topmost Via says.
        #[arg(long, value_enum)]
        transport: Option<TransportName>,
    },
}

/// `trunkline config`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check a file: prints every problem and warning, and binds nothing.
    ///
    /// Exits with 0 when the file can be used and 2 when it cannot.
    Check {
        /// The configuration file.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// A transport on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TransportName {
    /// Datagrams.
    Udp,
    /// Streams.
    Tcp,
}

impl From<TransportName> for Transport {
    fn from(name: TransportName) -> Self {
        match name {
            TransportName::Udp => Self::Udp,
            TransportName::Tcp => Self::Tcp,
        }
    }
}
