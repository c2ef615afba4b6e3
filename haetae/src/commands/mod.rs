//! The commands, one file each.

pub(crate) mod audit;
pub(crate) mod client;
pub(crate) mod config;
pub(crate) mod inventory;
pub(crate) mod keys;
pub(crate) mod migrate;
pub(crate) mod session;
pub(crate) mod user;

use std::future::Future;

use anyhow::Result;

use crate::{
    cli::{Command, SettingsArgs},
    roles,
    up::{self, child::Role},
};

/// Runs what the person asked for.
pub(crate) fn run(command: Command, settings: &SettingsArgs) -> Result<()> {
    match command {
        Command::Up(args) => up::run(&args, settings),
        Command::Gateway(args) => roles::run(Role::Gateway, args, settings),
        Command::Auth(args) => roles::run(Role::Auth, args, settings),
        Command::Reservation(args) => roles::run(Role::Reservation, args, settings),
        Command::Worker(args) => roles::run(Role::Worker, args, settings),
        Command::PrivateRedis(args) => roles::run(Role::Redis, args, settings),
        Command::Migrate => migrate::run(settings),
        Command::Config(command) => config::run(&command, settings),
        Command::Keys(command) => block_on(keys::run(command, settings)),
        Command::User(command) => block_on(user::run(command, settings)),
        Command::Client(command) => block_on(client::run(command, settings)),
        Command::Session(command) => block_on(session::run(command, settings)),
        Command::Inventory(command) => block_on(inventory::run(command, settings)),
        Command::Audit(args) => block_on(audit::run(args, settings)),
    }
}

/// Runs `work` to its end on a small runtime.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(work)
}
