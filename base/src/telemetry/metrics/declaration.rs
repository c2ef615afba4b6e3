//! A metric as the part that records it declares it.

use metrics::{Label as Pair, counter, gauge, histogram};

/// A label, and the values that it is known to take.
pub type Label = (&'static str, fn() -> Vec<&'static str>);

/// A metric: its name, what it means, and which of its series are known before anything happens. Those are there
/// at zero from the start, because `increase()` and `rate()` cannot see the event with which a counter appears:
/// an alert on what should never happen would miss it when it does.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    name: &'static str,
    meaning: &'static str,
    kind: Kind,
    known: Known,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// Which series are known.
#[derive(Clone, Copy, Debug)]
enum Known {
    None,
    /// The one without labels.
    Plain,
    /// Every combination of values of each of these sets of labels.
    Sets(&'static [&'static [Label]]),
    /// Every combination of values of these labels.
    Set(&'static [Label]),
}

impl Metric {
    /// What is counted.
    pub const fn counter(name: &'static str, meaning: &'static str) -> Self {
        Self { name, meaning, kind: Kind::Counter, known: Known::Plain }
    }

    /// What is measured at each event.
    pub const fn histogram(name: &'static str, meaning: &'static str) -> Self {
        Self { name, meaning, kind: Kind::Histogram, known: Known::Plain }
    }

    /// A state. Appears when it is first looked at: until then zero would be a lie.
    pub const fn gauge(name: &'static str, meaning: &'static str) -> Self {
        Self { name, meaning, kind: Kind::Gauge, known: Known::None }
    }

    /// A gauge of which zero is true at the start.
    #[must_use]
    pub const fn from_zero(self) -> Self {
        Self { known: Known::Plain, ..self }
    }

    /// It has these labels, and each combination of their values is known.
    #[must_use]
    pub const fn by(self, labels: &'static [Label]) -> Self {
        Self { known: Known::Set(labels), ..self }
    }

    /// The same for several sets of labels, when not every value of one goes with every value of another.
    #[must_use]
    pub const fn by_any_of(self, sets: &'static [&'static [Label]]) -> Self {
        Self { known: Known::Sets(sets), ..self }
    }

    /// Its labels come from the configuration or from traffic: who records it begins what is known then.
    #[must_use]
    pub const fn as_labels_come(self) -> Self {
        Self { known: Known::None, ..self }
    }

    /// Says what it means, and begins what is known of it at zero.
    pub(super) fn begin(&self) {
        // The exporter keeps one text a name, of whatever kind it is.
        metrics::describe_counter!(self.name, self.meaning);
        match self.known {
            Known::None => {}
            Known::Plain => self.register(Vec::new()),
            Known::Set(labels) => self.register_all(labels),
            Known::Sets(sets) => sets.iter().for_each(|labels| self.register_all(labels)),
        }
    }

    fn register_all(&self, labels: &[Label]) {
        let mut series = vec![Vec::new()];
        for (label, values) in labels {
            series = series
                .iter()
                .flat_map(|pairs: &Vec<Pair>| {
                    values().into_iter().map(|value| {
                        let mut longer = pairs.clone();
                        longer.push(Pair::new(*label, value));
                        longer
                    })
                })
                .collect();
        }
        for pairs in series {
            self.register(pairs);
        }
    }

    /// A series that is known to the recorder is rendered, at zero until something happens.
    fn register(&self, pairs: Vec<Pair>) {
        match self.kind {
            Kind::Counter => drop(counter!(self.name, pairs)),
            Kind::Gauge => drop(gauge!(self.name, pairs)),
            Kind::Histogram => drop(histogram!(self.name, pairs)),
        }
    }
}
