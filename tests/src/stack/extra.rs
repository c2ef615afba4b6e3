//! One more process of a role beside those of `up`, as in production.

use std::{
    fs::File,
    net::SocketAddr,
    process::{Command, Stdio},
    time::Duration,
};

use url::Url;

use super::{Role, Stack};
use crate::binary;

/// A role that a test started beside those of `up`; ends when it is dropped.
#[derive(Debug)]
pub struct Extra {
    child: tokio::process::Child,
    address: Option<SocketAddr>,
}

impl Extra {
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// The address of `path` at this one.
    pub fn url(&self, path: &str) -> Url {
        let address = self.address.expect("it listens");
        Url::parse(&format!("http://{address}{path}")).expect("an address")
    }
}

impl Stack {
    /// Starts one more process of `role` beside the one of `up`, as production would: on the same data,
    /// Redis and keys, at an address of its own.
    pub async fn one_more(&self, role: Role) -> Extra {
        let mut command = Command::new(binary::path());
        binary::clean(&mut command);
        let log = File::options().create(true).append(true).open(self.log_path()).expect("a log");
        let redis = format!("redis+unix://{}", self.data_dir().join("redis.sock").display());
        command
            .arg(role.name())
            .arg("--data-dir")
            .arg(self.data_dir())
            .envs(self.environment.iter().cloned())
            .env("HAETAE__PUBLIC_URL", self.public_url().as_str().trim_end_matches('/'))
            .env("HAETAE__REDIS__URL", redis);
        for other in Role::ALL {
            let process = self.process(other);
            let name = other.name().to_uppercase();
            let address =
                if other == role { "127.0.0.1:0".to_owned() } else { process.admin.to_string() };
            command.env(format!("HAETAE__{name}__ADMIN__LISTEN"), address);
            if let Some(listen) = process.listen {
                let address =
                    if other == role { "127.0.0.1:0".to_owned() } else { listen.to_string() };
                command.env(format!("HAETAE__{name}__LISTEN"), address);
            }
        }
        if self.options.config.is_some() {
            command.arg("--config").arg(self.config_path());
        }
        command
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log);
        let mut child = tokio::process::Command::from(command)
            .kill_on_drop(true)
            .spawn()
            .expect("haetae starts");
        let output = child.stdout.take().expect("piped");
        let mut lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(output));
        let first = tokio::time::timeout(Duration::from_secs(30), lines.next_line()).await;
        let line = first.expect("one more is ready").expect("text").unwrap_or_default();
        assert!(line.contains("is ready"), "{line}\n{}", self.log_tail(30));
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        // `gateway is ready  http://127.0.0.1:1  (admin http://127.0.0.1:2)`
        let address =
            line.split_whitespace().find_map(|word| word.strip_prefix("http://")?.parse().ok());
        Extra { child, address }
    }
}
