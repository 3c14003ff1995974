//! The `trill` command: thin dress over the library.

#![allow(clippy::disallowed_methods, reason = "a driver: this is where time enters")]

mod client;
#[cfg(feature = "devices")]
mod devices;
mod doctor;
mod files;
mod impair;
mod keys;
mod load;
mod logs;
mod output;
mod phone;
mod probe;
mod serve;
mod token;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Calls for your own app, on your own server
#[derive(Parser)]
#[command(version, propagate_version = true)]
struct Trill {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Answer(phone::AnswerCommand),
    Call(Box<phone::CallCommand>),
    #[cfg(feature = "devices")]
    Devices(devices::DevicesCommand),
    Doctor(doctor::DoctorCommand),
    Impair(impair::ImpairCommand),
    Load(load::LoadCommand),
    Logs(logs::LogsCommand),
    Probe(probe::ProbeCommand),
    Serve(serve::ServeCommand),
    Token(token::TokenCommand),
}

fn main() -> ExitCode {
    let result = match Trill::parse().command {
        Command::Answer(command) => command.run(),
        Command::Call(command) => command.run(),
        #[cfg(feature = "devices")]
        Command::Devices(command) => command.run(),
        Command::Doctor(command) => command.run(),
        Command::Impair(command) => command.run(),
        Command::Load(command) => command.run(),
        Command::Logs(command) => command.run(),
        Command::Probe(command) => command.run(),
        Command::Serve(command) => command.run(),
        Command::Token(command) => command.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("trill: {error}");
            ExitCode::FAILURE
        }
    }
}
