//! Putting the layers together.

use std::path::{Path, PathBuf};

use crate::{Config, DEFAULTS, ListenAddr, SecretSource};

impl Config {
    /// The defaults for a test: everything in `data_dir`, every port picked by the system, secrets made
    /// up.
    ///
    /// # Panics
    /// When the built-in defaults are broken, which this crate's own tests rule out.
    #[expect(clippy::expect_used, reason = "for tests, and the built-in defaults are tested")]
    pub fn for_tests(data_dir: impl AsRef<Path>) -> Self {
        let mut config: Self = toml::from_str(DEFAULTS).expect("the built-in defaults are good");
        config.data_dir = std::path::absolute(data_dir.as_ref())
            .unwrap_or_else(|_| PathBuf::from(data_dir.as_ref()));
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
}
