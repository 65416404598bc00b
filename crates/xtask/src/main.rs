//! `cargo xtask`: the project's own commands. Each installs what it needs, and says so.

mod bench;
mod child;
mod ci;
mod console;
mod fuzz;
mod install;
mod packages;
mod run;
mod shell;
mod stock;
mod test;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// The project's own commands.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Builds everything, starts the gateway and a carrier to talk to, and says how to place the first call.
    Run(run::Options),
    /// Runs the tests: all of them, a group (a crate, or a file of tests/ such as `sipp`), or those whose name
    /// contains a text.
    Test(test::Options),
    /// Measures: all benches, or one.
    Bench(bench::Options),
    /// Fuzzes: lists the targets, or runs one.
    Fuzz(fuzz::Options),
    /// What continuous integration runs: format, lints, dependencies, architecture, then `test`.
    Ci,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Run(options) => run::run(&options),
        Command::Test(options) => test::run(&options),
        Command::Bench(options) => bench::run(&options),
        Command::Fuzz(options) => fuzz::run(&options),
        Command::Ci => ci::run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
