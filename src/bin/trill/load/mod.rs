//! `trill load`: how much a server carries, measured from outside over real sockets.

mod device;
mod figures;
mod ring;
mod session;
mod target;
mod usage;

use clap::{Args, Subcommand};
use trill::base::Result;

/// Load a server of your own, and measure how it does
#[derive(Args)]
pub struct LoadCommand {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Subcommand)]
enum Kind {
    Ring(ring::RingCommand),
    Session(session::SessionCommand),
}

impl LoadCommand {
    pub fn run(self) -> Result<()> {
        match self.kind {
            Kind::Ring(command) => command.run(),
            Kind::Session(command) => command.run(),
        }
    }
}
