//! The command line of Haetae: starts roles, and looks after what they keep. Everything of weight lives in
//! the crates of the services.

mod cli;
mod commands;
mod demo;
mod output;
mod passwords;
mod roles;
mod settings;
mod up;

use std::process::ExitCode;

use clap::Parser;
use rustix::fs::Mode;

use self::cli::Cli;

/// Returns memory to the system and serves many threads at once; the allocator of musl does neither.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Whatever is written, databases and logs included, and by children too, is for its owner only.
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    let Cli { settings, command } = Cli::parse();
    match commands::run(command, &settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&error);
            ExitCode::FAILURE
        }
    }
}
