//! Putting the layers together: the built-in defaults, a file, the environment, flags. Every value keeps
//! where it was said, so that each mistake is told with its place, and all of them at once.

mod file;
mod read;
pub(crate) mod shape;
mod text;
pub(crate) mod tree;

#[cfg(test)]
mod tests;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

pub use self::text::{PREFIX, variable};
use self::{
    file::Text,
    shape::Shape,
    tree::{Node, Step},
};
use crate::{
    Config, DEFAULTS, ListenAddr, SecretSource,
    mistake::{Mistake, Mistakes, Origin},
    validate,
};

/// The name of a configuration file that is found by itself.
pub const FILE_NAME: &str = "haetae.toml";

/// What a configuration is made of, besides the built-in defaults.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file of `--config`.
    pub file: Option<PathBuf>,
    /// Without it, where to look for one: `haetae.toml` in the data folder, then in this folder; none
    /// need be there. `None`: nowhere.
    pub look_in: Option<PathBuf>,
    /// The environment: all of it, since secrets may name variables of any name.
    pub environment: Vec<(String, String)>,
    /// What flags set.
    pub overrides: Vec<Override>,
    /// Other defaults that a flag chooses: every other layer stands over them.
    pub implied: Vec<Override>,
    /// Which secrets are read.
    pub secrets: Secrets,
}

/// Which secrets and key files are read. All processes take the same configuration, and none has to hold,
/// or even to reach, what only another one needs: the gateway no master key, the authserver no TLS key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Secrets {
    /// All that are set: whoever checks a configuration, or runs every role.
    #[default]
    All,
    /// Those of these keys.
    Only(&'static [&'static str]),
}

impl Secrets {
    fn includes(self, key: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(keys) => keys.contains(&key),
        }
    }
}

/// A setting that a flag of the command line makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// The flag, as the person wrote it: `--data-dir`.
    pub flag: String,
    /// The key: `data_dir`.
    pub key: String,
    /// The value.
    pub text: String,
}

/// A configuration that can be used.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What is allowed and probably not meant.
    pub warnings: Vec<Mistake>,
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
    /// Whether anybody set `public_url`. If not, it follows the port of the gateway.
    pub public_url_given: bool,
}

/// The environment of this process. The only place that reads it.
pub fn process_environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .map(|(name, value)| {
            (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
        })
        .collect()
}

impl Config {
    /// Puts the layers together and checks the result.
    ///
    /// # Errors
    /// [`Mistakes`]: everything that is wrong, each with its place.
    pub fn load(sources: &Sources) -> Result<Loaded, Mistakes> {
        let mut mistakes = Vec::new();
        let defaults = file::read(DEFAULTS, &Text::BuiltIn, &mut mistakes);
        let mut tree = defaults.clone();
        let shape = Shape::of_config();
        for Override { flag, key, text } in &sources.implied {
            text::set_flag(&mut tree, flag, key, text, &mut mistakes);
        }

        let file = sources.file.clone().or_else(|| find_file(sources));
        if let Some(path) = &file {
            let path: Arc<Path> = path.as_path().into();
            match fs::read_to_string(&path) {
                Ok(text) => {
                    let layer = file::read(&text, &Text::File(path), &mut mistakes);
                    tree.merge(layer, Some(shape));
                }
                Err(error) => mistakes.push(unreadable(path, &error)),
            }
        }
        for (name, text) in &sources.environment {
            text::set_variable(&mut tree, name, text, &mut mistakes);
        }
        for Override { flag, key, text } in &sources.overrides {
            text::set_flag(&mut tree, flag, key, text, &mut mistakes);
        }

        let public_url_given = match tree.origin(&steps("public_url")) {
            Origin::Default(_) => false,
            Origin::Flag(flag) => sources.implied.iter().all(|implied| implied.flag != flag),
            Origin::File(..) | Origin::Variable(_) => true,
        };
        let reading = read::read(&mut tree, &defaults, &mut mistakes);
        let mut warnings = Vec::new();
        let config = reading.config.map(|mut config| {
            complete(&mut config, &tree, sources, &mut mistakes);
            if !public_url_given {
                config.follow_gateway_port();
            }
            for finding in validate::check(&config) {
                if reading.replaced.iter().any(|path| finding.path.starts_with(path)) {
                    continue;
                }
                let mistake = Mistake {
                    origin: tree.origin(&finding.path),
                    key: tree::written(&finding.path),
                    reason: finding.reason,
                };
                let list = if finding.only_warning { &mut warnings } else { &mut mistakes };
                list.push(mistake);
            }
            config
        });
        match config {
            Some(config) if mistakes.is_empty() => {
                Ok(Loaded { config, warnings, file, public_url_given })
            }
            _ => Err(Mistakes::new(mistakes)),
        }
    }

    /// The defaults for a test: everything in `data_dir`, every port picked by the system, secrets made
    /// up.
    ///
    /// # Panics
    /// When the built-in defaults are broken, which this crate's own tests rule out.
    #[expect(clippy::expect_used, reason = "for tests, and the built-in defaults are tested")]
    pub fn for_tests(data_dir: impl AsRef<Path>) -> Self {
        let mut config: Self = toml::from_str(DEFAULTS).expect("the built-in defaults are good");
        config.data_dir = absolute(data_dir.as_ref());
        let any: ListenAddr = "127.0.0.1:0".parse().expect("an address");
        config.gateway.listen = any;
        config.gateway.admin.listen = any;
        config.auth.listen = any;
        config.auth.admin.listen = any;
        config.reservation.listen = any;
        config.reservation.admin.listen = any;
        config.worker.admin.listen = any;
        config.keys.master_key = Some(SecretSource::plain(haetae_base::entropy::token()));
        config.gateway.browser.client_secret =
            Some(SecretSource::plain(haetae_base::entropy::token()));
        config
    }

    /// The configuration as TOML, with secrets masked.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).unwrap_or_else(|error| format!("# cannot be written: {error}\n"))
    }
}

/// `haetae.toml` in the data folder as flags or environment name it, or in `look_in`.
fn find_file(sources: &Sources) -> Option<PathBuf> {
    let look_in = sources.look_in.as_ref()?;
    let variable = variable("data_dir");
    let data_dir = sources
        .overrides
        .iter()
        .rev()
        .find(|set| set.key == "data_dir")
        .map(|set| set.text.as_str())
        .or_else(|| {
            let mut environment = sources.environment.iter();
            environment.find(|(name, _)| *name == variable).map(|(_, text)| text.as_str())
        })
        .filter(|text| !text.is_empty())
        .unwrap_or("./data");
    [Path::new(data_dir).join(FILE_NAME), look_in.join(FILE_NAME)]
        .into_iter()
        .find(|path| path.is_file())
}

fn unreadable(path: Arc<Path>, error: &io::Error) -> Mistake {
    let reason = match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "not permitted to read this file".to_owned(),
        _ => format!("cannot be read: {error}"),
    };
    Mistake { origin: Origin::File(path, 0), key: String::new(), reason }
}

/// Makes paths absolute and reads the secrets that stand elsewhere.
fn complete(config: &mut Config, tree: &Node, sources: &Sources, mistakes: &mut Vec<Mistake>) {
    config.data_dir = absolute(&config.data_dir);
    let environment = |wanted: &str| {
        let mut environment = sources.environment.iter();
        environment.find(|(name, _)| name == wanted).map(|(_, text)| text.clone())
    };
    let secrets: [(&str, Option<&mut SecretSource>); 5] = [
        ("gateway.browser.client_secret", config.gateway.browser.client_secret.as_mut()),
        ("keys.master_key", config.keys.master_key.as_mut()),
        ("redis.url", config.redis.url.as_mut()),
        ("database.auth_url", config.database.auth_url.as_mut()),
        ("database.reservation_url", config.database.reservation_url.as_mut()),
    ];
    for (key, secret) in secrets {
        let Some(secret) = secret.filter(|_| sources.secrets.includes(key)) else { continue };
        let origin = tree.origin(&steps(key));
        if let Err(error) = secret.resolve(key, &origin.folder(), &environment) {
            mistakes.push(Mistake { origin, key: key.to_owned(), reason: error.to_string() });
        }
    }
    if let Some(tls) = config.gateway.tls.as_mut() {
        for (key, path) in [("certificate", &mut tls.certificate), ("key", &mut tls.key)] {
            let key = format!("gateway.tls.{key}");
            let origin = tree.origin(&steps(&key));
            *path = absolute(&origin.folder().join(&*path));
            if !sources.secrets.includes(&key) {
                continue;
            }
            if let Err(error) = fs::File::open(&*path) {
                let reason = format!("cannot read {}: {error}", path.display());
                mistakes.push(Mistake { origin, key, reason });
            }
        }
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// A dotted key as steps.
pub(crate) fn steps(key: &str) -> Vec<Step> {
    key.split('.').map(|key| Step::Key(key.to_owned())).collect()
}
