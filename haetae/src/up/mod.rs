//! `haetae up`: everything on one machine. A supervisor that prepares the data folder, starts the private
//! Redis and each role as a child of its own, keeps them running, and ends them in order.

pub(crate) mod child;
pub(crate) mod claim;
mod development_ca;
mod first_start;
pub(crate) mod instance;
mod ports;
pub(crate) mod private_redis;
mod probe;
mod supervise;

use std::{path::Path, sync::Arc};

use anyhow::{Context, Result};
use clap::Args;
use haetae_authserver::manage::Manage;
use haetae_base::clock::{Clock, SystemClock};
use haetae_config::{Config, Loaded, variable};

use self::{
    child::{Launch, Role},
    claim::Claim,
    development_ca::DevelopmentCa,
    instance::Instance,
    supervise::{Stop, Supervisor},
};
use crate::{cli::SettingsArgs, commands::migrate, demo, output, settings};

/// Flags of `haetae up`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  haetae up --demo                              http://localhost:8080, with example users and data
  haetae up --demo --https                      the same at https://localhost:8443
  haetae up --data-dir /var/lib/haetae          data somewhere else
  haetae up --set gateway.listen=127.0.0.1:80   another port

Ctrl-C stops all of it gracefully; a second Ctrl-C at once. The logs of the roles are in DIR/logs.")]
pub(crate) struct UpArgs {
    /// Fill an empty installation with example users, clients and inventory
    #[arg(long)]
    demo: bool,
    /// Serve https, on port 8443, with a development CA that is made in DIR/tls
    #[arg(long)]
    https: bool,
    /// Show the logs of all roles here too, not only in DIR/logs
    #[arg(long, short)]
    verbose: bool,
}

/// Runs everything until it is told to stop.
pub(crate) fn run(args: &UpArgs, settings: &SettingsArgs) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(up(args, settings))
}

async fn up(args: &UpArgs, settings: &SettingsArgs) -> Result<()> {
    let clock = SystemClock;
    let began = clock.now();
    let implied = if args.https { development_ca::defaults() } else { Vec::new() };
    let Loaded { mut config, public_url_given, file, .. } = settings::load_with(settings, implied)?;
    let stop = Stop::on_signals()?;

    let claim = Claim::take(&config.data_dir).await?;
    first_start::make_secrets(&config)?;
    let ports = ports::settle(&mut config)?;
    if !public_url_given {
        config.follow_gateway_port();
    }
    let mut authority = None;
    if args.https && config.gateway.tls.is_none() {
        let made = DevelopmentCa::prepare(&config)?;
        config.gateway.tls = Some(made.tls);
        authority = Some(made.authority);
    }
    let config = Arc::new(config);
    let launch = Launch {
        config: config.clone(),
        config_file: file,
        environment: environment(&config, settings)?,
        verbose: args.verbose,
    };

    let mut supervisor = Supervisor::new(launch, stop);
    let started = Box::pin(start(&mut supervisor, args, &config)).await;
    let ended = match started {
        Ok(Started::Whole { demo }) => {
            let instance = supervisor.instance(&config);
            instance.write(&config.data_dir)?;
            let took = clock.now().since(began);
            announce(&config, &instance, took.as_secs_f64());
            if let Some(authority) = authority {
                announce_authority(&authority);
            }
            match demo {
                Some(accounts) => announce_accounts(&config, &accounts),
                None => announce_what_is_next(&config).await?,
            }
            output::say("Ctrl-C stops it.");
            supervisor.watch(&config).await
        }
        Ok(Started::ToldToStop) => Ok(()),
        Err(error) => Err(error),
    };
    supervisor.end().await;
    Instance::remove(&config.data_dir);
    drop((ports, claim));
    ended
}

/// How a start ended that did not fail.
enum Started {
    /// Every role is ready.
    Whole {
        /// The accounts of the demo, when it is one.
        demo: Option<demo::Accounts>,
    },
    /// The wish to stop came first.
    ToldToStop,
}

/// Starts everything in order.
async fn start(
    supervisor: &mut Supervisor,
    args: &UpArgs,
    config: &Arc<Config>,
) -> Result<Started> {
    if config.redis.url.is_none() {
        supervisor.start(Role::Redis);
    }
    // The roles find the tables there: migrations are applied once, here, whatever `database.migrate`
    // says to roles that start on their own.
    if supervisor.beside(Box::pin(migrate::apply(config))).await?.is_none() {
        return Ok(Started::ToldToStop);
    }
    if !supervisor.until_ready().await? {
        return Ok(Started::ToldToStop);
    }
    let mut demo = None;
    if args.demo {
        demo = supervisor.beside(Box::pin(demo::fill(config))).await?;
        if demo.is_none() {
            return Ok(Started::ToldToStop);
        }
    }
    for role in Role::SERVING {
        supervisor.start(role);
    }
    Ok(if supervisor.until_ready().await? { Started::Whole { demo } } else { Started::ToldToStop })
}

/// What the children are told by environment: the settings as this process resolved them.
fn environment(config: &Config, args: &SettingsArgs) -> Result<Vec<(String, String)>> {
    let mut environment: Vec<(String, String)> =
        settings::overrides(args)?.into_iter().map(|set| (variable(&set.key), set.text)).collect();
    let data_dir = config.data_dir.to_str().context("data_dir must be UTF-8 text")?;
    environment.push((variable("data_dir"), data_dir.to_owned()));
    environment.push((variable("public_url"), config.public_origin()));
    environment.push((variable("database.migrate"), "false".to_owned()));
    for (key, address) in config.listeners() {
        environment.push((variable(key), address.to_string()));
    }
    if let Some(tls) = &config.gateway.tls {
        for (key, path) in
            [("gateway.tls.certificate", &tls.certificate), ("gateway.tls.key", &tls.key)]
        {
            let path = path.to_str().with_context(|| format!("{key} must be UTF-8 text"))?;
            environment.push((variable(key), path.to_owned()));
        }
    }
    Ok(environment)
}

/// The ready lines: one a role, then where to go.
fn announce(config: &Config, instance: &Instance, seconds: f64) {
    for (name, role) in &instance.roles {
        let tls = name == Role::Gateway.name() && config.gateway.tls.is_some();
        let scheme = if tls { "https" } else { "http" };
        let listen = role.listen.map(|it| format!("{scheme}://{it}  ")).unwrap_or_default();
        output::say(format_args!("{name:<12} ready  {listen}(admin http://{})", role.admin));
    }
    let redis = match instance.redis_socket.as_ref() {
        Some(socket) => format!("private, {}", socket.display()),
        None => instance.redis_url.clone(),
    };
    output::say(format_args!("{:<12} ready  {redis}", "redis"));
    output::say(format_args!("\nHaetae is ready in {seconds:.1} s: {}", config.public_origin()));
}

fn announce_authority(authority: &Path) {
    output::say(format_args!(
        "Programs that are to trust it need its development CA: {}",
        authority.display()
    ));
}

/// What the operator of a new installation does next.
async fn announce_what_is_next(config: &Arc<Config>) -> Result<()> {
    if Box::pin(Manage::open(config)).await?.is_empty().await? {
        let folder = config.data_dir.display();
        output::say(format_args!(
            "\nNobody has an account yet. The first administrator:\n  \
             haetae user create NAME --role admin --data-dir {folder}\n\
             And something to reserve:\n  \
             haetae inventory import FILE --data-dir {folder}\n"
        ));
    }
    Ok(())
}

fn announce_accounts(config: &Config, accounts: &demo::Accounts) {
    output::say("");
    for user in &accounts.users {
        let roles =
            if user.roles.is_empty() { "customer".to_owned() } else { user.roles.join(", ") };
        output::say(format_args!("  {:<8} password {}   ({roles})", user.username, user.password));
    }
    let file = demo::file(config);
    output::say(format_args!("\nThe accounts and clients of the demo: {}", file.display()));
}
