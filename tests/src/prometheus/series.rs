//! The series that roles show at `/metrics`.

use std::collections::{BTreeMap, BTreeSet};

use super::Selector;

/// Labels that Prometheus adds to every series of a target.
const OF_TARGETS: [&str; 3] = ["job", "instance", "namespace"];

/// Metrics with their labels, and the values that were seen of each.
#[derive(Clone, Debug, Default)]
pub struct Known {
    metrics: BTreeMap<String, BTreeMap<String, BTreeSet<String>>>,
    /// Every series as it stands in the text, without its value.
    pub series: BTreeSet<String>,
}

impl Known {
    /// Takes in the text of `/metrics`.
    pub fn read(&mut self, text: &str) {
        for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let (series, _value) = line.rsplit_once(' ').expect("a series and its value");
            self.series.insert(series.to_owned());
            let found = super::selectors(series);
            let [selector] = found.as_slice() else { panic!("not one series: {line}") };
            self.add(selector);
        }
    }

    /// Adds a metric that somebody else than a role makes, with its labels.
    pub fn add(&mut self, selector: &Selector) {
        let labels = self.metrics.entry(selector.metric.clone()).or_default();
        for matcher in &selector.matchers {
            labels.entry(matcher.label.clone()).or_default().insert(matcher.value.clone());
        }
    }

    /// What `selector` asks for that is not there.
    pub fn misses(&self, selector: &Selector) -> Vec<String> {
        let Some(labels) = self.metrics.get(&selector.metric) else {
            return vec![format!("there is no metric {}", selector.metric)];
        };
        let mut missing = Vec::new();
        for matcher in &selector.matchers {
            if OF_TARGETS.contains(&matcher.label.as_str()) {
                continue;
            }
            let Some(values) = labels.get(&matcher.label) else {
                missing.push(format!("{} has no label {}", selector.metric, matcher.label));
                continue;
            };
            for wanted in matcher.plain_values() {
                if !values.contains(wanted) {
                    missing
                        .push(format!("{} has no {}={wanted:?}", selector.metric, matcher.label));
                }
            }
        }
        missing
    }

    /// Whether one of `metrics` has the label `label`.
    pub fn has_label<'a>(&self, metrics: impl IntoIterator<Item = &'a str>, label: &str) -> bool {
        OF_TARGETS.contains(&label)
            || metrics.into_iter().any(|metric| {
                self.metrics.get(metric).is_some_and(|labels| labels.contains_key(label))
            })
    }
}
