//! Prometheus metrics of this process. Parts declare theirs at the start and record with the macros of the
//! `metrics` crate; the admin listener renders.

mod declaration;

use std::sync::OnceLock;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

pub use self::declaration::{Label, Metric};
use crate::clock::{Clock, SystemClock};

/// What every process has.
const PROCESS: &[Metric] = &[
    Metric::gauge("haetae_build_info", "1, with the version that runs"),
    Metric::gauge("process_start_time_seconds", "When this process started, in Unix time"),
];

/// Upper bounds, in seconds, of every histogram whose name ends in `_seconds`: from a cache hit in the
/// gateway to a payment provider that is about to time out.
const SECONDS: [f64; 16] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
    1.0, 2.5, 10.0,
];

/// Upper bounds of every histogram whose name ends in `_size`: how many things were done at once.
const SIZES: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1024.0, 10_000.0];

/// The metrics of this process.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// The recorder of this process, installed at the first call.
    pub fn start() -> Self {
        static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
        Self(
            HANDLE
                .get_or_init(|| {
                    let recorder = builder().build_recorder();
                    let handle = recorder.handle();
                    // Only a test binary that installed one of its own gets here with an error.
                    let _installed = metrics::set_global_recorder(recorder);
                    tell_process();
                    handle
                })
                .clone(),
        )
    }

    /// Says what metrics mean (`# HELP`), and begins those at zero whose series are known. Call it before
    /// anything is recorded, with what this role records and nothing else.
    pub fn declare(&self, declared: &[Metric]) {
        for metric in declared {
            metric.begin();
        }
    }

    /// Adds what was recorded since the last time to the histograms' buckets. Until then every single value is
    /// kept, so it has to be called every few seconds; the admin listener of each role does.
    pub fn upkeep(&self) {
        self.0.run_upkeep();
        #[cfg(test)]
        tests::UPKEEPS.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }

    /// The metrics in Prometheus text format.
    pub fn render(&self) -> String {
        self.0.run_upkeep();
        self.0.render()
    }
}

/// Which version runs, and since when: a role that keeps dying is seen by it even when it is back before the
/// next scrape.
fn tell_process() {
    PROCESS.iter().for_each(Metric::begin);
    metrics::gauge!("haetae_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    #[expect(clippy::cast_precision_loss, reason = "below 2^52 for another hundred thousand years")]
    let started = SystemClock.now().as_millis() as f64 / 1000.0;
    metrics::gauge!("process_start_time_seconds").set(started);
}

/// Every histogram with buckets: what the exporter makes of the others, quantiles of one process, cannot be
/// added up over several.
fn builder() -> PrometheusBuilder {
    let suffix = |text: &str| Matcher::Suffix(text.to_owned());
    // Only an empty list of buckets is refused.
    PrometheusBuilder::new()
        .set_buckets_for_metric(suffix("_seconds"), &SECONDS)
        .and_then(|builder| builder.set_buckets_for_metric(suffix("_size"), &SIZES))
        .unwrap_or_else(|_| PrometheusBuilder::new())
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Metrics")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// How often [`Metrics::upkeep`] was called: what it does to the memory cannot be seen from outside.
    pub(super) static UPKEEPS: AtomicU64 = AtomicU64::new(0);

    impl Metrics {
        pub(crate) fn upkeeps() -> u64 {
            UPKEEPS.load(Ordering::SeqCst)
        }
    }

    #[test]
    fn histograms_have_buckets_that_add_up_over_processes() {
        let recorder = builder().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            metrics::histogram!("haetae_test_batch_size").record(3.0);
            metrics::histogram!("haetae_test_seconds").record(0.002);
        });
        let text = recorder.handle().render();
        for line in [
            "# TYPE haetae_test_batch_size histogram",
            "haetae_test_batch_size_bucket{le=\"4\"} 1",
            "# TYPE haetae_test_seconds histogram",
            "haetae_test_seconds_bucket{le=\"0.0025\"} 1",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
        assert!(!text.contains("quantile"), "{text}");
    }

    #[test]
    fn what_is_known_begins_at_zero_and_what_is_not_says_nothing() {
        const DECLARED: &[Metric] = &[
            Metric::counter("haetae_test_plain_total", "Plain"),
            Metric::counter("haetae_test_kinds_total", "By kind and outcome")
                .by(&[("kind", || vec!["a", "b"]), ("outcome", || vec!["ok", "failed"])]),
            Metric::counter("haetae_test_pairs_total", "What goes together").by_any_of(&[
                &[("method", || vec!["one"]), ("outcome", || vec!["x", "y"])],
                &[("method", || vec!["two"]), ("outcome", || vec!["z"])],
            ]),
            Metric::histogram("haetae_test_seconds", "Time"),
            Metric::gauge("haetae_test_open", "Things that are open").from_zero(),
            Metric::gauge("haetae_test_up", "Whether it answers"),
            Metric::counter("haetae_test_visitors_total", "By visitor").as_labels_come(),
        ];
        let recorder = builder().build_recorder();
        metrics::with_local_recorder(&recorder, || DECLARED.iter().for_each(Metric::begin));
        let text = recorder.handle().render();
        for line in [
            "# HELP haetae_test_plain_total Plain",
            "haetae_test_plain_total 0",
            "haetae_test_kinds_total{kind=\"a\",outcome=\"ok\"} 0",
            "haetae_test_kinds_total{kind=\"b\",outcome=\"failed\"} 0",
            "haetae_test_pairs_total{method=\"one\",outcome=\"y\"} 0",
            "haetae_test_pairs_total{method=\"two\",outcome=\"z\"} 0",
            "haetae_test_seconds_count 0",
            "haetae_test_open 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
        // 0 would say that it is away, before anybody has asked.
        assert!(!text.contains("haetae_test_up"), "{text}");
        assert!(!text.contains("haetae_test_visitors_total"), "{text}");
        assert!(!text.contains("method=\"one\",outcome=\"z\""), "{text}");
    }
}
