//! The `trunkline` binary.

use clap::Parser;
use std::path::Path;
use std::process::ExitCode;
use trunkline_gateway::app::{self, ServeError};
use trunkline_gateway::cli::{BillingCommand, Cli, Command, ConfigCommand, Trunk};
use trunkline_gateway::config::{Config, Loaded};
use trunkline_gateway::{billing, call, events, number, resource, sandbox, sms, trunk_list, trunk_match};

/// The command line or the configuration cannot be used.
const UNUSABLE: u8 = 2;

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Serve(serve) => match app::serve(&serve.config, serve.ready_json) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                complain(&error);
                match error {
                    ServeError::Config(_) => ExitCode::from(UNUSABLE),
                    ServeError::Failed(_) => ExitCode::FAILURE,
                }
            }
        },
        Command::Sandbox(arguments) => match sandbox(&arguments) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                complain(&format!("{error:#}"));
                ExitCode::FAILURE
            }
        },
        Command::Call(arguments) => match call(&arguments) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => {
                complain(&format!("{error:#}"));
                ExitCode::from(UNUSABLE)
            }
        },
        Command::Trunk(Trunk::List { config }) => with_config(&config, |Loaded { config, .. }| {
            print!("{}", trunk_list(&config));
            ExitCode::SUCCESS
        }),
        Command::Trunk(Trunk::Match { invite, config, source, transport }) => {
            with_config(&config, |Loaded { config, .. }| {
                match trunk_match(config, &invite, source, transport.map(Into::into)) {
                    Ok((decision, admitted)) => {
                        println!("{decision}");
                        if admitted { ExitCode::SUCCESS } else { ExitCode::FAILURE }
                    }
                    Err(error) => {
                        complain(&format!("{error:#}"));
                        ExitCode::from(UNUSABLE)
                    }
                }
            })
        }
        Command::Resource(command) => {
            let file = command.database().config.clone();
            with_database(&file, |config| resource(config, command).map(|()| ExitCode::SUCCESS))
        }
        Command::Number(command) => {
            let file = command.database().config.clone();
            with_database(&file, |config| {
                let yes = number(config, command)?;
                Ok(if yes { ExitCode::SUCCESS } else { ExitCode::FAILURE })
            })
        }
        Command::Events(command) => {
            let file = command.database().config.clone();
            with_database(&file, |config| {
                let yes = events(config, command)?;
                Ok(if yes { ExitCode::SUCCESS } else { ExitCode::FAILURE })
            })
        }
        Command::Billing(command) => {
            let BillingCommand::Statement { config: file, .. } = &command;
            let file = file.clone();
            with_database(&file, |config| billing(config, command).map(|()| ExitCode::SUCCESS))
        }
        Command::Sms(command) => {
            let file = command.database().config.clone();
            with_database(&file, |config| {
                let yes = sms(config, command)?;
                Ok(if yes { ExitCode::SUCCESS } else { ExitCode::FAILURE })
            })
        }
        Command::Config(ConfigCommand::Check { file }) => {
            with_config(&file, |Loaded { config, warnings }| {
                for warning in &warnings {
                    println!("warning: {warning}");
                }
                let (trunks, dids, routes) = (config.trunks.len(), config.dids.len(), config.routes.len());
                println!("{} can be used: {trunks} trunks, {dids} numbers, {routes} routes", file.display());
                ExitCode::SUCCESS
            })
        }
    }
}

/// Reads a configuration file for a command, or prints all its problems.
fn with_config(file: &Path, command: impl FnOnce(Loaded) -> ExitCode) -> ExitCode {
    match Config::load(file) {
        Ok(loaded) => command(loaded),
        Err(error) => {
            complain(&error);
            ExitCode::from(UNUSABLE)
        }
    }
}

/// Runs an operator's command on the database of a configuration file.
fn with_database(file: &Path, command: impl FnOnce(&Config) -> anyhow::Result<ExitCode>) -> ExitCode {
    with_config(file, |Loaded { config, .. }| match command(&config) {
        Ok(status) => status,
        Err(error) => {
            complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    })
}

fn complain(error: &dyn std::fmt::Display) {
    eprintln!("trunkline: {error}");
}
