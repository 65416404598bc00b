//! `cargo xtask run`: the gateway, a carrier to talk to, and how to place the first call.

use crate::child::Running;
use crate::console;
use crate::install::{self, BUILD};
use crate::shell::{cargo, root, run as run_command, say};
use crate::stock;
use anyhow::{Context, Result};
use clap::Args;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The toll-free number that a search finds first.
const TOLL_FREE: &str = "+18005550199";

/// Something to say in the first call.
const GREETING: &str = "fixtures/audio/greeting.wav";

/// Options of `cargo xtask run`.
#[derive(Args)]
pub(crate) struct Options {
    /// The gateway's configuration.
    #[arg(long, default_value = "config/sandbox.toml")]
    config: PathBuf,
}

/// Runs gateway and sandbox until Ctrl-C.
pub(crate) fn run(options: &Options) -> Result<()> {
    // Before anything is started, so that a signal in between still stops what was.
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("could not watch for Ctrl-C")?;
    install::ensure(BUILD)?;
    console::ensure()?;
    say("building the release binary (the first time takes some minutes)");
    run_command(&mut cargo(["build", "--release", "--package", "trunkline-gateway"]))?;
    let binary = release_binary()?;

    say("starting the sandbox, carriers of calls and texts with magic numbers");
    let mut sandbox = Command::new(&binary);
    sandbox.args(["sandbox", "--ready-json", "--hook-ca", ".data/tls/ca.pem"]).current_dir(root());
    let (mut sandbox, sandbox_ready) = Running::start("sandbox", &mut sandbox)?;
    let connection = stock::ensure(&binary, &options.config)?;
    let token = stock::user(&binary, &options.config)?;
    say(format!("starting the gateway with {}", options.config.display()));
    let mut gateway = Command::new(&binary);
    gateway.args(["serve", "--ready-json", "--config"]).arg(&options.config).current_dir(root());
    let (mut gateway, gateway_ready) = Running::start("gateway", &mut gateway)?;

    println!("\ngateway: {}\nsandbox: {}", gateway_ready.trim(), sandbox_ready.trim());
    println!("\nPlace the first call, in another terminal of this folder. It is echoed, and recorded:");
    println!("  {} call +14255550100 --play {GREETING} --record echo.wav", shown(&binary));
    println!("Other numbers, such as a digit menu: {} sandbox --help", shown(&binary));
    print!("{}", clients(&binary, &options.config, &connection, &gateway_ready));
    println!("\nCall records: .data/trunkline.db. Ctrl-C stops both.");
    print!("{}", phone(&gateway_ready, &token));

    loop {
        if signals.pending().next().is_some() {
            gateway.stop();
            sandbox.stop();
            return Ok(());
        }
        for child in [&mut gateway, &mut sandbox] {
            if let Some(status) = child.ended()? {
                anyhow::bail!("a program that should keep running has ended: {status}");
            }
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Tells where the phone is: last, as it is what most want to try first.
fn phone(ready: &str, token: &str) -> String {
    let ready: serde_json::Value = serde_json::from_str(ready).unwrap_or_default();
    let port =
        ready["https"][0].as_str().and_then(|local| local.rsplit_once(':')).map_or("8443", |(_, port)| port);
    format!(
        "\nThe phone of {}, in a browser that may complain about the certificate of the CA above: open this, press Call\n  \
         https://localhost:{port}/#token={token}\n",
        stock::PHONE_NUMBER
    )
}

/// Tells how the official clients reach the gateway, with an example to paste.
fn clients(binary: &Path, config: &Path, connection: &str, ready: &str) -> String {
    let ready: serde_json::Value = serde_json::from_str(ready).unwrap_or_default();
    let ca = ready["ca_certificate"].as_str().unwrap_or_default();
    let (binary, venv, config) = (shown(binary), ".data/venv", config.display());
    format!(
        "\nThe clients of Azure Communication Services work with this connection string:\n  {connection}\n\
         and trust this CA: {ca}\n\
         \nBuy a number with the Python client:\n\
         python3 -m venv {venv} && {venv}/bin/pip install azure-communication-phonenumbers\n\
         REQUESTS_CA_BUNDLE={ca} {venv}/bin/python - <<'EOF'\n\
         from azure.communication.phonenumbers import PhoneNumberCapabilities, PhoneNumbersClient\n\
         client = PhoneNumbersClient.from_connection_string(\"{connection}\")\n\
         capabilities = PhoneNumberCapabilities(calling=\"inbound+outbound\", sms=\"none\")\n\
         found = client.begin_search_available_phone_numbers(\n    \
             \"US\", \"geographic\", \"application\", capabilities, area_code=\"206\", polling_interval=1).result()\n\
         client.begin_purchase_phone_numbers(found.search_id, polling_interval=1).result()\n\
         print(\"bought\", found.phone_numbers[0])\n\
         EOF\n\
         \nIt is refused before, and then rings at the sandbox. The first one, +12065550100, is echoed:\n  \
         {binary} call +12065550100 --play {GREETING} --record echo.wav\n\
         What belongs to whom: {binary} number list --state assigned --config {config}\n\
         \nBuy a toll-free number and send a text from it. The sandbox delivers it; for failures and the like other \
         numbers: {binary} sandbox --help\n\
         {venv}/bin/pip install azure-communication-phonenumbers azure-communication-sms\n\
         REQUESTS_CA_BUNDLE={ca} {venv}/bin/python - <<'EOF'\n\
         from azure.communication.phonenumbers import PhoneNumberCapabilities, PhoneNumbersClient\n\
         from azure.communication.sms import SmsClient\n\
         client = PhoneNumbersClient.from_connection_string(\"{connection}\")\n\
         capabilities = PhoneNumberCapabilities(calling=\"inbound+outbound\", sms=\"inbound+outbound\")\n\
         found = client.begin_search_available_phone_numbers(\n    \
             \"US\", \"tollFree\", \"application\", capabilities, polling_interval=1).result()\n\
         client.begin_purchase_phone_numbers(found.search_id, polling_interval=1).result()\n\
         texts = SmsClient.from_connection_string(\"{connection}\")\n\
         sent = texts.send(from_=found.phone_numbers[0], to=\"+14255550100\", message=\"Hello!\",\n    \
             enable_delivery_report=True)\n\
         print(\"sent from\", found.phone_numbers[0], sent[0].message_id)\n\
         EOF\n\
         What became of it:  {binary} sms list --config {config}\n\
         Text in, to the number it was sent from:  \
         {binary} sandbox text --from +12065550111 --to {TOLL_FREE} STOP\n"
    )
}

/// Returns a path as one would type it in the root of the workspace.
fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// Returns the path of the release binary.
fn release_binary() -> Result<PathBuf> {
    Ok(crate::test::metadata()?.target_directory.join("release/trunkline"))
}
