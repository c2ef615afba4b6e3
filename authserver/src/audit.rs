//! The audit trail: who did what, from where, and how it ended. Handlers record in memory and go on; a
//! writer of its own stores the events in batches and tries again while SQL is away. Only when the queue
//! is full is an event given up, and then it is counted, and stands in the log.

mod strangers;

use std::{fmt::Display, net::IpAddr, sync::Arc, time::Duration};

use haetae_base::{
    clock::{Clock, Timestamp},
    id::{Id, Kind as IdKind},
    shutdown::Shutdown,
};
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::sync::mpsc;

use self::strangers::Strangers;
use crate::{context::RequestContext, store::audit::AuditTrail};

/// Marks the id of an audit event.
#[derive(Debug)]
pub enum AuditEvent {}

impl IdKind for AuditEvent {
    const PREFIX: &'static str = "evt";
}

/// The id of an audit event, `evt_…`.
pub type AuditEventId = Id<AuditEvent>;

/// What happened. The names are stable: operators filter and alert by them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A person opened an account.
    AccountRegistered,
    /// An administrator made an account.
    AccountCreated,
    /// An account was shut.
    AccountDisabled,
    /// An account was opened again.
    AccountEnabled,
    /// The roles of an account changed.
    AccountRolesChanged,
    /// A password was changed by its owner.
    PasswordChanged,
    /// A password was set by an administrator.
    PasswordReset,
    /// Somebody signed in, or failed to.
    SignIn,
    /// A second factor was asked for and given, or not.
    SecondFactor,
    /// A recovery code was used in place of the second factor.
    RecoveryCodeUsed,
    /// A code generator was enrolled.
    TotpEnrolled,
    /// A code generator was removed.
    TotpRemoved,
    /// New recovery codes took the place of the old ones.
    RecoveryCodesReplaced,
    /// An SSO session ended.
    SessionEnded,
    /// A client was authorized: a code went out.
    Authorization,
    /// A person allowed a client something, or did not.
    Consent,
    /// A person took a consent back.
    ConsentRevoked,
    /// A code was redeemed for tokens.
    CodeRedeemed,
    /// A code came back a second time; what was issued for it is revoked.
    CodeReplayed,
    /// A spent refresh token came back; its family is revoked.
    RefreshTokenReused,
    /// A token was revoked by its client.
    TokenRevoked,
    /// A client could not authenticate.
    ClientAuthentication,
    /// A client was registered.
    ClientCreated,
    /// A client changed.
    ClientUpdated,
    /// A client was shut.
    ClientDisabled,
    /// The signing keys were rotated by hand.
    KeysRotated,
    /// A signing key was revoked.
    KeyRevoked,
}

impl What {
    /// All of them.
    pub(crate) const ALL: [Self; 27] = [
        Self::AccountRegistered,
        Self::AccountCreated,
        Self::AccountDisabled,
        Self::AccountEnabled,
        Self::AccountRolesChanged,
        Self::PasswordChanged,
        Self::PasswordReset,
        Self::SignIn,
        Self::SecondFactor,
        Self::RecoveryCodeUsed,
        Self::TotpEnrolled,
        Self::TotpRemoved,
        Self::RecoveryCodesReplaced,
        Self::SessionEnded,
        Self::Authorization,
        Self::Consent,
        Self::ConsentRevoked,
        Self::CodeRedeemed,
        Self::CodeReplayed,
        Self::RefreshTokenReused,
        Self::TokenRevoked,
        Self::ClientAuthentication,
        Self::ClientCreated,
        Self::ClientUpdated,
        Self::ClientDisabled,
        Self::KeysRotated,
        Self::KeyRevoked,
    ];

    /// The name in the trail.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AccountRegistered => "account.registered",
            Self::AccountCreated => "account.created",
            Self::AccountDisabled => "account.disabled",
            Self::AccountEnabled => "account.enabled",
            Self::AccountRolesChanged => "account.roles_changed",
            Self::PasswordChanged => "password.changed",
            Self::PasswordReset => "password.reset",
            Self::SignIn => "sign_in",
            Self::SecondFactor => "second_factor",
            Self::RecoveryCodeUsed => "recovery_code.used",
            Self::TotpEnrolled => "totp.enrolled",
            Self::TotpRemoved => "totp.removed",
            Self::RecoveryCodesReplaced => "recovery_codes.replaced",
            Self::SessionEnded => "session.ended",
            Self::Authorization => "authorization",
            Self::Consent => "consent",
            Self::ConsentRevoked => "consent.revoked",
            Self::CodeRedeemed => "code.redeemed",
            Self::CodeReplayed => "code.replayed",
            Self::RefreshTokenReused => "refresh_token.reused",
            Self::TokenRevoked => "token.revoked",
            Self::ClientAuthentication => "client.authentication",
            Self::ClientCreated => "client.created",
            Self::ClientUpdated => "client.updated",
            Self::ClientDisabled => "client.disabled",
            Self::KeysRotated => "keys.rotated",
            Self::KeyRevoked => "key.revoked",
        }
    }

    /// Whether somebody should look at it soon: a token or code in two hands.
    const fn is_alarming(self) -> bool {
        matches!(self, Self::CodeReplayed | Self::RefreshTokenReused)
    }
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// As the person or client wanted.
    Success,
    /// Refused.
    Failure,
}

impl Outcome {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::Success, Self::Failure];

    /// The name in the trail.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == text)
    }
}

/// An event as a handler tells it. Built up: `Event::success(What::SignIn).subject(id).from(&context)`.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    what: What,
    outcome: Outcome,
    subject: Option<String>,
    client_id: Option<String>,
    sid: Option<String>,
    context: Option<RequestContext>,
    detail: Map<String, Value>,
}

impl Event {
    /// Something that went as wanted.
    pub(crate) fn success(what: What) -> Self {
        Self::new(what, Outcome::Success)
    }

    /// Something that was refused; `reason` is a short stable word such as `wrong_password`.
    pub(crate) fn failure(what: What, reason: &str) -> Self {
        Self::new(what, Outcome::Failure).with("reason", reason)
    }

    fn new(what: What, outcome: Outcome) -> Self {
        Self {
            what,
            outcome,
            subject: None,
            client_id: None,
            sid: None,
            context: None,
            detail: Map::new(),
        }
    }

    /// The account that it is about.
    #[must_use]
    pub(crate) fn subject(mut self, subject: impl Display) -> Self {
        self.subject = Some(subject.to_string());
        self
    }

    /// The client that it is about.
    #[must_use]
    pub(crate) fn client(mut self, client_id: impl Into<String>) -> Self {
        self.client_id = Some(client_id.into());
        self
    }

    /// The SSO session that it is about.
    #[must_use]
    pub(crate) fn sid(mut self, sid: impl Display) -> Self {
        self.sid = Some(sid.to_string());
        self
    }

    /// Address, browser and request id.
    #[must_use]
    pub(crate) fn from(mut self, context: &RequestContext) -> Self {
        self.context = Some(context.clone());
        self
    }

    /// A further fact. Never a secret, a token or a code.
    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.detail.insert(name.to_owned(), value.into());
        self
    }

    /// From where, when it is a refusal of somebody of whom nothing is known.
    fn address_of_stranger(&self) -> Option<IpAddr> {
        let refused = self.outcome == Outcome::Failure && self.subject.is_none();
        self.context.as_ref().filter(|_| refused)?.address()
    }

    /// The event as stored, at `now`.
    pub(crate) fn at(self, now: Timestamp) -> Recorded {
        let context = self.context.as_ref();
        Recorded {
            id: AuditEventId::new(now),
            at: now,
            event: self.what.as_str().to_owned(),
            outcome: self.outcome,
            subject: self.subject,
            client_id: self.client_id,
            sid: self.sid,
            address: context.and_then(RequestContext::address).map(|address| address.to_string()),
            user_agent: context.and_then(|context| context.user_agent().map(str::to_owned)),
            request_id: context.map(|context| context.request_id().to_owned()),
            detail: self.detail,
        }
    }
}

/// An event as stored.
#[derive(Clone, Debug, Serialize)]
pub struct Recorded {
    /// Its id; sorts by time.
    pub id: AuditEventId,
    /// When it happened.
    #[serde(serialize_with = "rfc3339")]
    pub at: Timestamp,
    /// What happened: [`What::as_str`].
    pub event: String,
    /// How it ended.
    pub outcome: Outcome,
    /// The account that it is about.
    pub subject: Option<String>,
    /// The client that it is about.
    pub client_id: Option<String>,
    /// The SSO session that it is about.
    pub sid: Option<String>,
    /// From which address.
    pub address: Option<String>,
    /// By which browser.
    pub user_agent: Option<String>,
    /// Under which id the log knows the request.
    pub request_id: Option<String>,
    /// What else there is to say.
    pub detail: Map<String, Value>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
fn rfc3339<S: serde::Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(at)
}

/// How many events may wait to be stored.
const QUEUE: usize = 8192;
/// How many are stored in one statement. SQLite takes 32766 values a statement, PostgreSQL 65535; an
/// event has eleven.
const BATCH: usize = 256;

/// Takes events. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Audit {
    queue: mpsc::Sender<Recorded>,
    clock: Arc<dyn Clock>,
    strangers: Strangers,
}

impl Audit {
    /// A recorder, and the writer that has to run for it.
    pub(crate) fn new(trail: AuditTrail, clock: Arc<dyn Clock>) -> (Self, Writer) {
        let (queue, waiting) = mpsc::channel(QUEUE);
        (Self { queue, clock, strangers: Strangers::new() }, Writer { trail, waiting })
    }

    /// Records an event. Returns at once, whatever SQL does.
    pub(crate) fn record(&self, event: Event) {
        let (what, now) = (event.what, self.clock.now());
        let stranger = event.address_of_stranger();
        let recorded = event.at(now);
        metrics::counter!("haetae_auth_audit_events_total", "event" => what.as_str(),
            "outcome" => recorded.outcome.as_str())
        .increment(1);
        if what.is_alarming() {
            tracing::warn!(
                event = what.as_str(),
                subject = recorded.subject.as_deref(),
                client_id = recorded.client_id.as_deref(),
                address = recorded.address.as_deref(),
                request_id = recorded.request_id.as_deref(),
                "security alert"
            );
        }
        if stranger.is_some_and(|address| !self.strangers.may_write(address, now)) {
            metrics::counter!("haetae_auth_audit_strangers_total").increment(1);
            return;
        }
        if let Err(full) = self.queue.try_send(recorded) {
            give_up(&full.into_inner());
        }
    }
}

/// An event that cannot be stored is not lost without a trace.
fn give_up(event: &Recorded) {
    metrics::counter!("haetae_auth_audit_dropped_total").increment(1);
    let event = serde_json::to_string(event).unwrap_or_default();
    tracing::error!(event, "an audit event could not be stored");
}

/// Stores what was recorded.
pub(crate) struct Writer {
    trail: AuditTrail,
    waiting: mpsc::Receiver<Recorded>,
}

impl Writer {
    /// Runs until shutdown, then stores what is left, for at most five seconds.
    pub(crate) async fn run(mut self, shutdown: Shutdown) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                biased;
                taken = self.waiting.recv_many(&mut batch, BATCH) => {
                    if taken == 0 {
                        return;
                    }
                }
                () = shutdown.requested() => break,
            }
            self.store(&mut batch, &shutdown).await;
            self.tell_waiting(0);
        }
        self.waiting.close();
        let rest = async {
            while self.waiting.recv_many(&mut batch, BATCH).await > 0 {
                if self.trail.append(&batch).await.is_err() {
                    batch.iter().for_each(give_up);
                }
                batch.clear();
            }
        };
        if tokio::time::timeout(Duration::from_secs(5), rest).await.is_err() {
            tracing::error!("the rest of the audit trail was not stored in time");
        }
    }

    fn tell_waiting(&self, in_hand: usize) {
        let waiting = self.waiting.len().saturating_add(in_hand);
        metrics::gauge!("haetae_auth_audit_waiting")
            .set(u32::try_from(waiting).unwrap_or(u32::MAX));
    }

    /// Stores a batch; tries again with growing pauses while SQL is away.
    async fn store(&mut self, batch: &mut Vec<Recorded>, shutdown: &Shutdown) {
        let mut pause = Duration::from_millis(100);
        while let Err(error) = self.trail.append(batch).await {
            tracing::warn!(%error, events = batch.len(), "the audit trail waits for the database");
            self.tell_waiting(batch.len());
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = shutdown.requested() => {
                    batch.iter().for_each(give_up);
                    break;
                }
            }
            pause = (pause * 2).min(Duration::from_secs(5));
        }
        batch.clear();
    }
}

#[cfg(test)]
mod tests {
    use haetae_base::clock::{ManualClock, SystemClock};

    use super::*;
    use crate::store::{audit::AuditQuery, testing::each_database};

    #[tokio::test]
    async fn a_stranger_does_not_fill_the_trail_and_nobody_else_is_cut_short() {
        for database in each_database().await {
            let trail = AuditTrail::new(database.sql.clone());
            let clock = ManualClock::at(Timestamp::from_seconds(1_800_000_000));
            let (audit, writer) = Audit::new(trail.clone(), Arc::new(clock));
            let address = "192.0.2.1".parse().expect("an address");
            let context = RequestContext::new("req-1".to_owned(), Some(address), None);
            let refused = |what| Event::failure(what, "a_reason").from(&context);
            for _ in 0..1500 {
                audit.record(refused(What::ClientAuthentication).client("app"));
                audit.record(refused(What::Authorization));
                audit.record(refused(What::SignIn).subject("usr_1"));
                audit.record(Event::success(What::Authorization).from(&context));
            }
            let shutdown = Shutdown::new();
            shutdown.request();
            writer.run(shutdown).await;
            let count = async |event: &str, of_stranger: bool| {
                let query = AuditQuery {
                    event: Some(event.to_owned()),
                    limit: 10_000,
                    ..AuditQuery::default()
                };
                let events = trail.list(&query).await.expect("sql");
                let failed = |event: &&Recorded| event.outcome == Outcome::Failure;
                if of_stranger { events.iter().filter(failed).count() } else { events.len() }
            };
            assert_eq!(count("client.authentication", true).await, 500);
            assert_eq!(count("authorization", true).await, 500);
            assert_eq!(count("authorization", false).await, 2000);
            assert_eq!(count("sign_in", false).await, 1500);
        }
    }

    #[tokio::test]
    async fn what_is_recorded_is_stored_before_the_end() {
        for database in each_database().await {
            let trail = AuditTrail::new(database.sql.clone());
            let (audit, writer) = Audit::new(trail.clone(), Arc::new(SystemClock));
            let shutdown = Shutdown::new();
            let writer = tokio::spawn(writer.run(shutdown.clone()));
            let context = RequestContext::new(
                "req-1".to_owned(),
                Some("192.0.2.1".parse().expect("an address")),
                Some("Browser\u{7}"),
            );
            for number in 0..600 {
                audit.record(
                    Event::failure(What::SignIn, "wrong_password")
                        .subject("usr_1")
                        .client("app")
                        .from(&context)
                        .with("number", number),
                );
            }
            shutdown.request();
            writer.await.expect("the writer ends");
            let query = AuditQuery {
                subject: Some("usr_1".to_owned()),
                limit: 1000,
                ..AuditQuery::default()
            };
            let events = trail.list(&query).await.expect("sql");
            assert_eq!(events.len(), 600);
            let first = events.first().expect("an event");
            assert_eq!(first.event, "sign_in");
            assert_eq!(first.outcome, Outcome::Failure);
            assert_eq!(first.address.as_deref(), Some("192.0.2.1"));
            assert_eq!(first.user_agent.as_deref(), Some("Browser"));
            assert_eq!(first.detail.get("reason"), Some(&"wrong_password".into()));
            let after = AuditQuery { after: Some(events[597].id), limit: 10, ..query };
            assert!(trail.list(&after).await.expect("sql").len() <= 3);
        }
    }
}
