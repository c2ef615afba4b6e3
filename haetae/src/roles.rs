//! Running one role in this process: its log, its signals, its ready line.

use std::{fs::File, sync::Arc, thread};

use anyhow::{Context, Result};
use haetae_base::{
    shutdown::{Addresses, Ready, Shutdown},
    telemetry::log,
};
use haetae_config::{Config, Secrets, log::Format};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{SignalKind, signal},
};

use crate::{
    cli::{RoleArgs, SettingsArgs},
    output, settings,
    up::{
        child::{ReadyLine, Role},
        claim, private_redis,
    },
};

/// Runs `role` until it is told to stop.
pub(crate) fn run(role: Role, args: RoleArgs, settings: &SettingsArgs) -> Result<()> {
    let loaded = if args.supervised {
        settings::load_quietly(settings, secrets(role))?
    } else {
        settings::load_some(settings, secrets(role))?
    };
    let config = Arc::new(loaded.config);
    start_log(&config)?;
    raise_open_files();
    let place = args.supervised.then(|| claim::take_role(&config.data_dir, role)).transpose()?;
    let shutdown = Shutdown::new();
    let ready = ready(role, args.supervised, &config);
    let outcome = match role {
        // It brings runtimes of its own; this one only waits for signals.
        Role::Gateway => {
            let signals = Builder::new_current_thread().enable_all().build()?;
            listen(&signals, args.supervised, &shutdown)?;
            let asked = shutdown.clone();
            thread::Builder::new()
                .name("signals".to_owned())
                .spawn(move || signals.block_on(asked.requested()))?;
            Ok(haetae_gateway::run(&config, &ready, &shutdown)?)
        }
        Role::Auth | Role::Reservation | Role::Worker | Role::Redis => {
            let runtime = runtime(role)?;
            listen(&runtime, args.supervised, &shutdown)?;
            let outcome = runtime.block_on(serve(role, config, ready, shutdown));
            // What still runs is a wait for standard input, which nothing can end.
            runtime.shutdown_background();
            outcome
        }
    };
    drop::<Option<File>>(place);
    outcome
}

/// What `role` uses. Nothing else is read: who breaks into the gateway finds no master key there.
const fn secrets(role: Role) -> Secrets {
    Secrets::Only(match role {
        Role::Gateway => &[
            "redis.url",
            "gateway.browser.client_secret",
            "gateway.tls.certificate",
            "gateway.tls.key",
        ],
        Role::Auth => {
            &["redis.url", "database.auth_url", "keys.master_key", "gateway.browser.client_secret"]
        }
        Role::Reservation | Role::Worker => &["redis.url", "database.reservation_url"],
        Role::Redis => &[],
    })
}

async fn serve(role: Role, config: Arc<Config>, ready: Ready, shutdown: Shutdown) -> Result<()> {
    match role {
        Role::Auth => Ok(haetae_authserver::run(config, ready, shutdown).await?),
        Role::Reservation => Ok(haetae_reservation::run(config, ready, shutdown).await?),
        Role::Worker => Ok(haetae_reservation::worker::run(config, ready, shutdown).await?),
        Role::Redis => private_redis::run(&config, shutdown).await,
        Role::Gateway => anyhow::bail!("the gateway runs on its own runtimes"),
    }
}

fn runtime(role: Role) -> Result<Runtime> {
    let mut builder = match role {
        Role::Redis => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    builder.enable_all().thread_name(role.name()).build().context("cannot start the threads")
}

/// Lets this process have as many open files and connections as the system allows it: the usual 1024 would
/// bound the gateway long before its settings do.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        // What is refused leaves the limit as it was, which works too, for fewer.
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!(%error, limit = limit.current, "cannot raise the limit of open files");
        }
    }
}

/// Starts the log as the settings say.
fn start_log(config: &Config) -> Result<()> {
    let format = match config.log.format {
        Format::Text => log::Format::Text,
        Format::Json => log::Format::Json,
    };
    Ok(log::start(format, &config.log.level)?)
}

/// Asks for the shutdown at a signal, and under `up` also when `up` is gone.
fn listen(runtime: &Runtime, supervised: bool, shutdown: &Shutdown) -> Result<()> {
    let _inside = runtime.enter();
    if !supervised {
        return Ok(shutdown.on_signals()?);
    }
    shutdown.on_stdin_end();
    let mut terminate = signal(SignalKind::terminate())?;
    // Ctrl-C at a terminal, and its end, go to `up` and to all its children. `up` decides who ends when, so
    // here they are taken and mean nothing.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let shutdown = shutdown.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => return shutdown.request(),
                _ = interrupt.recv() => {}
                _ = hang_up.recv() => {}
            }
        }
    });
    Ok(())
}

/// What a role calls when it serves: the one ready line.
fn ready(role: Role, supervised: bool, config: &Config) -> Ready {
    let scheme = role.scheme(config);
    Ready::new(move |Addresses { listen, admin }| {
        if supervised {
            let line = ReadyLine { listen, admin: Some(admin), server_pid: None };
            // It consists of addresses: it can always be written.
            let _written = output::json(&line);
            return;
        }
        let listen = listen.map(|it| format!("{scheme}://{it}  ")).unwrap_or_default();
        output::say(format_args!("{role} is ready  {listen}(admin http://{admin})"));
    })
}
