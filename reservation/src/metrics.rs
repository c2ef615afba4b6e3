//! What the reservation API and its worker record, by role.

use haetae_base::telemetry::metrics::Metric;

use crate::domain::{payment::Call, reservation::Status};

const PART_UP: Metric =
    Metric::gauge("haetae_reservation_part_up", "1 while a part that this role needs answers");

/// Of the API.
pub(crate) const API: &[Metric] = &[
    PART_UP,
    Metric::histogram(
        "haetae_reservation_accept_batch_size",
        "Requests that shared one commit when they were accepted",
    ),
    Metric::counter("haetae_reservation_accepted_total", "Requests accepted durably (202)"),
    Metric::gauge("haetae_reservation_event_streams", "Open streams of server-sent events")
        .from_zero(),
    Metric::counter("haetae_reservation_http_responses_total", "Answers, by method and status")
        .as_labels_come(),
    Metric::counter(
        "haetae_reservation_rings_dropped_total",
        "Wake-up calls that Redis did not take; the work is found in SQL instead, a little later",
    ),
];

/// Of the worker.
pub(crate) const WORKER: &[Metric] = &[
    PART_UP,
    Metric::gauge(
        "haetae_reservation_attention",
        "Reservations that wait for an administrator, of all partitions",
    ),
    Metric::histogram(
        "haetae_reservation_batch_seconds",
        "Time to apply one batch in one transaction",
    ),
    Metric::histogram(
        "haetae_reservation_batch_size",
        "Requests that were decided in one transaction",
    ),
    Metric::counter(
        "haetae_reservation_contradictions_total",
        "Reservations whose stored state does not fit together: a defect or a hand in the database; see the log",
    ),
    Metric::histogram(
        "haetae_reservation_decision_seconds",
        "From a request's arrival until it was held or rejected",
    ),
    Metric::gauge(
        "haetae_reservation_overdue_seconds",
        "How long what waits longest in this worker's partitions has been due: a request that nobody took up, a hold that ran out, a payment step",
    )
    .from_zero(),
    Metric::gauge(
        "haetae_reservation_partitions",
        "Partitions that there are, as this worker is configured",
    ),
    Metric::gauge("haetae_reservation_partitions_owned", "Partitions that this worker owns")
        .from_zero(),
    Metric::counter(
        "haetae_reservation_payment_calls_total",
        "Calls to the payment provider, by call and whether it answered",
    )
    .by(&[
        ("call", || Call::ALL.map(Call::as_str).to_vec()),
        ("answered", || vec!["yes", "no"]),
    ]),
    Metric::counter(
        "haetae_reservation_states_total",
        "Changes of state, by the new status; watch attention",
    )
    .by(&[("status", || Status::ALL.map(Status::as_str).to_vec())]),
];
