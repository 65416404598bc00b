//! `trunkline sandbox` and its subcommands.

use clap::{Args, Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;

/// `trunkline sandbox`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, after_help = MAGIC_NUMBERS)]
pub struct Sandbox {
    /// What a running sandbox is asked for.
    #[command(subcommand)]
    pub command: Option<SandboxCommand>,
    /// Address of SIP, over UDP and TCP; port 0 takes any free one.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.2:5060")]
    pub listen: SocketAddr,
    /// Address of SMPP. Default: that of --listen, port 2775, or any free one where --listen has port 0.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub smpp: Option<SocketAddr>,
    /// Address of the carrier over HTTP, and of the sandbox's own commands, which are taken from this machine alone.
    /// Default: that of --listen, port 2776, or any free one where --listen has port 0.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub http: Option<SocketAddr>,
    /// The system_id that may bind.
    #[arg(long, value_name = "NAME", default_value = "trunkline")]
    pub system_id: String,
    /// Its password; also the bearer token of the carrier over HTTP, and the key that signs its webhooks.
    #[arg(long, value_name = "PASSWORD", default_value = "sandbox")]
    pub password: String,
    /// Where the carrier over HTTP tells of texts until a message has named a webhook.
    #[arg(long, value_name = "URL")]
    pub hook: Option<String>,
    /// The CA that webhooks over HTTPS are trusted by, as a PEM file. It is read when it is first needed.
    #[arg(long, value_name = "FILE")]
    pub hook_ca: Option<PathBuf>,
    /// How many of the latest texts are kept for `trunkline sandbox received`.
    #[arg(long, value_name = "NUMBER", default_value_t = 10_000)]
    pub keep: usize,
    /// Print one line of JSON with all bound addresses when ready.
    #[arg(long)]
    pub ready_json: bool,
}

/// What a running sandbox is asked for.
#[derive(Debug, Subcommand)]
pub enum SandboxCommand {
    /// Text in, from a handset to a number of yours.
    Text {
        /// The handset.
        #[arg(long, value_name = "NUMBER")]
        from: String,
        /// Your number.
        #[arg(long, value_name = "NUMBER")]
        to: String,
        /// By which of its carriers.
        #[arg(long, value_enum, default_value_t = Over::Smpp)]
        over: Over,
        /// What it says; long ones go in segments.
        #[arg(value_name = "TEXT")]
        text: String,
        /// Where the sandbox listens for commands.
        #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.2:2776")]
        sandbox: SocketAddr,
    },
    /// Print what the sandbox received, as JSON: every attempt to send a text or a segment.
    Received {
        /// Only what is newer than this serial.
        #[arg(long, value_name = "SERIAL", default_value_t = 0)]
        since: u64,
        /// By which of its carriers.
        #[arg(long, value_enum, default_value_t = Over::Smpp)]
        over: Over,
        /// Where the sandbox listens for commands.
        #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.2:2776")]
        sandbox: SocketAddr,
    },
}

/// A carrier of the sandbox's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Over {
    /// The message centre.
    Smpp,
    /// The carrier over HTTP.
    Http,
}

impl Over {
    /// Returns its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Smpp => "smpp",
            Self::Http => "http",
        }
    }
}

/// What the last four digits of a number do.
const MAGIC_NUMBERS: &str = "\
The last four digits of the number that is called decide, such as +14255550100:
  0100  rings, answers, and echoes what it hears
  0101  answers with an announcement, then hangs up
  0102  a digit menu: each digit comes back as its tones; # hangs up
  0103  busy (486)
  0104  declined (603)
  0105  rings and is never answered
  0106  a late 183 with early media, then answers and echoes
  0107  no such number (404)
  0108  overloaded (503)
  0109  a steady tone of 1 kHz
  0110  480; then it calls back and plays the announcement
  0111  answers at once, without ringing, and echoes
  0121 to 0159  answers, echoes, and hangs up after 1 to 39 seconds

And those of the number that is texted; all others get the text, with a receipt DELIVRD:
  0101  the response takes 3 seconds
  0102  no response, ever
  0103  closes the connection instead of a response; takes the next attempt
  0104  throttled (0x58) for 3 seconds, then taken
  0105  queue full (0x14) for 3 seconds, then taken
  0106  the receipt comes before the response
  0107  hexadecimal id in the response, decimal in the receipt
  0108  decimal id in the response, hexadecimal in the receipt
  0109  no receipt
  0110  receipts ACCEPTD, DELIVRD and DELIVRD again
  0112  a receipt of TLVs alone
  0113  the receipt takes 30 seconds
  0114  system error (0x08) for 3 seconds, then taken
  0115  temporary error (0x64) for 3 seconds, then taken
  0120  receipt UNDELIV      0121  receipt EXPIRED      0122  receipt DELETED
  0123  receipt REJECTD      0124  receipt UNKNOWN
  0130  texts STOP back      0131  START      0132  HELP      0133  ARRET      0134  echoes
  0140  refused: wrong sender (0x0A)         0141  wrong recipient (0x0B)
  0142  submit failed (0x45)                 0143  permanent error (0x65)
  0144  rejected (0x66)                      0145  wrong length (0x01)
  0146  a vendor's status (0x400)            0147  delivery failure (0xFE)
  0148  unknown error (0xFF)
  0151 to 0179  receipt UNDELIV with error 001 to 029
A trunk that has learned how its carrier writes ids takes a few texts to 0107 or 0108 to unlearn it.";
