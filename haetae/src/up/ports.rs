//! The ports of one instance: fixed ones are free, or it is said at once; port 0 becomes a port that
//! stays the same from start to start, and that two instances on one machine never both pick.

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder, File},
    io,
    net::{SocketAddr, TcpListener},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};
use haetae_base::entropy;
use haetae_config::{Config, ListenAddr};

/// Below the ports that the system gives to outgoing connections, so that none of those can take one
/// while a role restarts.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// What keeps picked ports from being picked by another instance. Held while this one runs.
#[derive(Debug)]
pub(crate) struct Reserved(#[expect(dead_code, reason = "held, never read")] Vec<File>);

/// Checks the fixed ports of `config` and puts a real one in the place of each port 0.
///
/// # Errors
/// When a fixed port is in use, naming it and its setting.
pub(crate) fn settle(config: &mut Config) -> Result<Reserved> {
    let remembered_in = config.in_data_dir("run/ports.json");
    let remembered: BTreeMap<String, u16> = fs::read(&remembered_in)
        .ok()
        .and_then(|it| serde_json::from_slice(&it).ok())
        .unwrap_or_default();
    let mut reserved = Vec::new();
    let mut picked = BTreeMap::new();
    for (key, address) in config.listeners() {
        if address.port() != 0 {
            check_free(key, address.get())?;
            continue;
        }
        let (port, lock) = pick(address.get(), remembered.get(key).copied())?;
        reserved.extend(lock);
        picked.insert(key.to_owned(), port);
        set(config, key, SocketAddr::new(address.ip(), port).into());
    }
    if picked != remembered && !picked.is_empty() {
        // Remembering is a courtesy: without it the next start picks other ports.
        let _remembered = serde_json::to_vec(&picked).map(|text| fs::write(&remembered_in, text));
    }
    Ok(Reserved(reserved))
}

fn set(config: &mut Config, key: &str, address: ListenAddr) {
    match key {
        "gateway.listen" => config.gateway.listen = address,
        "gateway.admin.listen" => config.gateway.admin.listen = address,
        "auth.listen" => config.auth.listen = address,
        "auth.admin.listen" => config.auth.admin.listen = address,
        "reservation.listen" => config.reservation.listen = address,
        "reservation.admin.listen" => config.reservation.admin.listen = address,
        "worker.admin.listen" => config.worker.admin.listen = address,
        _ => {}
    }
}

fn check_free(key: &str, address: SocketAddr) -> Result<()> {
    let Err(error) = TcpListener::bind(address) else { return Ok(()) };
    match error.kind() {
        io::ErrorKind::AddrInUse => bail!(
            "port {} is in use ({key} = \"{address}\"); stop the program that uses it, or choose \
             another port: --set {key}={}:0 picks a free one",
            address.port(),
            address.ip()
        ),
        io::ErrorKind::PermissionDenied => bail!(
            "not permitted to listen on {address} ({key}); ports below 1024 need a privilege: choose \
             another with --set {key}={}:PORT",
            address.ip()
        ),
        io::ErrorKind::AddrNotAvailable => {
            bail!("this machine has no address {} ({key} = \"{address}\")", address.ip())
        }
        _ => bail!("cannot listen on {address} ({key}): {error}"),
    }
}

/// A free port: `before` when it still is, otherwise any.
fn pick(address: SocketAddr, before: Option<u16>) -> Result<(u16, Option<File>)> {
    let folder = reservations();
    let random =
        (0..2000).map(|_| FIRST + u16::try_from(entropy::below(COUNT.into())).unwrap_or(0));
    for port in before.into_iter().chain(random) {
        let lock = match reserve(folder.as_deref(), port) {
            Ok(lock) => lock,
            Err(Taken) => continue,
        };
        if TcpListener::bind(SocketAddr::new(address.ip(), port)).is_ok() {
            return Ok((port, lock));
        }
    }
    bail!("found no free port on {}", address.ip())
}

/// Another instance has picked the port.
struct Taken;

/// Reserves a port among the instances of this user. `None` where that cannot be done: then the port is
/// only checked to be free at this moment.
fn reserve(folder: Option<&Path>, port: u16) -> Result<Option<File>, Taken> {
    let Some(folder) = folder else { return Ok(None) };
    let path = folder.join(port.to_string());
    let Ok(file) = File::options().create(true).truncate(false).write(true).open(path) else {
        return Ok(None);
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(_) => Err(Taken),
    }
}

fn reservations() -> Option<PathBuf> {
    let user = rustix::process::getuid().as_raw();
    let folder = std::env::temp_dir().join(format!("haetae-ports-{user}"));
    DirBuilder::new().recursive(true).mode(0o700).create(&folder).ok()?;
    Some(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn picked_ports_are_all_different_stay_and_are_not_shared() {
        let folder = tempfile::tempdir().expect("folder");
        let other = tempfile::tempdir().expect("folder");
        for folder in [&folder, &other] {
            fs::create_dir(folder.path().join("run")).expect("folder");
        }
        let mut first = Config::for_tests(folder.path());
        let held = settle(&mut first).expect("ports");
        let ports: Vec<u16> = first.listeners().iter().map(|(_, it)| it.port()).collect();
        for (index, port) in ports.iter().enumerate() {
            assert!((FIRST..FIRST + COUNT).contains(port), "{port}");
            assert!(!ports[..index].contains(port), "{ports:?}");
        }

        // Another instance that remembers the same ports gets others while the first runs.
        fs::copy(folder.path().join("run/ports.json"), other.path().join("run/ports.json"))
            .expect("copy");
        let mut second = Config::for_tests(other.path());
        let held_too = settle(&mut second).expect("ports");
        for (_, address) in second.listeners() {
            assert!(!ports.contains(&address.port()), "{address}");
        }
        drop((held, held_too));

        // The first finds its own again.
        let mut again = Config::for_tests(folder.path());
        let _held = settle(&mut again).expect("ports");
        assert_eq!(again.listeners(), first.listeners());
    }

    #[test]
    fn a_fixed_port_in_use_is_told_with_its_setting() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = taken.local_addr().expect("bound");
        let folder = tempfile::tempdir().expect("folder");
        let mut config = Config::for_tests(folder.path());
        config.auth.admin.listen = address.into();
        let error = settle(&mut config).expect_err("in use").to_string();
        let start =
            format!("port {} is in use (auth.admin.listen = \"{address}\")", address.port());
        assert!(error.starts_with(&start), "{error}");
    }
}
