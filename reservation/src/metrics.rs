//! What the metrics of the reservation API and its worker mean.

/// Name and meaning of each.
pub(crate) const MEANINGS: &[(&str, &str)] = &[
    (
        "haetae_reservation_accept_batch_size",
        "Requests that shared one commit when they were accepted",
    ),
    ("haetae_reservation_accepted_total", "Requests accepted durably (202)"),
    ("haetae_reservation_batch_seconds", "Time to apply one batch in one transaction"),
    ("haetae_reservation_batch_size", "Requests that were decided in one transaction"),
    (
        "haetae_reservation_contradictions_total",
        "Reservations whose stored state does not fit together: a defect or a hand in the database; see the log",
    ),
    (
        "haetae_reservation_decision_seconds",
        "From a request's arrival until it was held or rejected",
    ),
    ("haetae_reservation_event_streams", "Open streams of server-sent events"),
    ("haetae_reservation_http_responses_total", "Answers, by method and status"),
    ("haetae_reservation_part_up", "1 while a part that this role needs answers"),
    ("haetae_reservation_partitions_owned", "Partitions that this worker owns"),
    (
        "haetae_reservation_payment_calls_total",
        "Calls to the payment provider, by call and whether it answered",
    ),
    (
        "haetae_reservation_rings_dropped_total",
        "Wake-up calls that Redis did not take; the work is found in SQL instead, a little later",
    ),
    ("haetae_reservation_states_total", "Changes of state, by the new status; watch attention"),
];
