//! What a configuration must be beyond its types: what belongs together, what names what, what is
//! positive. One file a topic.

mod addresses;
mod limits;
mod routes;
mod times;

use std::ops::RangeInclusive;

use crate::{
    Config,
    load::tree::{Path, Step},
};

/// Something that is wrong with a value, or worth a warning.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) path: Path,
    pub(crate) reason: String,
    pub(crate) only_warning: bool,
}

/// What has been found so far.
#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn wrong(&mut self, path: Path, reason: impl Into<String>) {
        self.0.push(Finding { path, reason: reason.into(), only_warning: false });
    }

    fn warn(&mut self, path: Path, reason: impl Into<String>) {
        self.0.push(Finding { path, reason: reason.into(), only_warning: true });
    }

    fn wrong_at(&mut self, key: &str, reason: impl Into<String>) {
        self.wrong(crate::load::steps(key), reason);
    }

    fn in_range(&mut self, key: &str, value: u64, range: RangeInclusive<u64>) {
        if !range.contains(&value) {
            let reason = match (*range.start(), *range.end()) {
                (least, u64::MAX) => format!("{value} is too small; at least {least}"),
                (least, most) => format!("{value} is out of range; from {least} to {most}"),
            };
            self.wrong_at(key, reason);
        }
    }
}

/// The path of a key in an element of a list: `gateway.routes[3].path`.
fn in_list(list: &str, index: usize, key: &str) -> Path {
    let mut path = crate::load::steps(list);
    path.push(Step::Index(index));
    if !key.is_empty() {
        path.push(Step::Key(key.to_owned()));
    }
    path
}

/// Everything that is wrong with `config` or worth a warning.
pub(crate) fn check(config: &Config) -> Vec<Finding> {
    let mut findings = Findings::default();
    addresses::check(config, &mut findings);
    routes::check(config, &mut findings);
    limits::check(config, &mut findings);
    times::check(config, &mut findings);
    if let Err(error) = haetae_base::telemetry::log::check_level(&config.log.level) {
        let reason = error.to_string();
        findings.wrong_at("log.level", reason.trim_start_matches("log.level: "));
    }
    findings.0
}
