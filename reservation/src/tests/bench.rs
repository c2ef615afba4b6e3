//! What tests are run on: a fresh SQLite file, or a schema of PostgreSQL when `HAETAE_TEST_POSTGRES_URL`
//! says where one is.

use std::{sync::Arc, time::Duration};

use haetae_base::{
    clock::{Clock, SystemClock, Timestamp},
    entropy,
    sql::Sql,
};
use sea_orm::ConnectionTrait;
use tempfile::TempDir;

use crate::{
    apply_batch::Policy,
    domain::{
        basket::{Basket, Line},
        fence::{Fence, Partition},
        hold::HoldPolicy,
        inventory::{ItemId, Stock},
        quantity::Quantity,
        reservation::ReservationId,
    },
    store::{
        Store,
        accept::{AcceptRequest, AcceptRules, Acceptance, IdempotencyKey, NewReservation},
        inventory::Description,
        migrations,
    },
};

/// A database for one test; it goes with it.
pub(crate) struct Bench {
    pub(crate) store: Store,
    pub(crate) url: String,
    _folder: TempDir,
}

pub(crate) const POLICY: Policy = Policy {
    hold: HoldPolicy { duration: Duration::from_mins(10) },
    patience: Duration::from_secs(5),
    attempts: 5,
    backoff: Duration::from_millis(10),
};

/// What requests are accepted by, where a test does not say otherwise.
pub(crate) const RULES: AcceptRules = AcceptRules { grace: Duration::from_secs(1), max_open: None };

pub(crate) fn now() -> Timestamp {
    SystemClock.now()
}

pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

impl Bench {
    /// One for each database that can be had here.
    pub(crate) async fn each() -> Vec<Self> {
        let mut benches = vec![Self::sqlite().await];
        if let Some(bench) = Self::postgres().await {
            benches.push(bench);
        }
        benches
    }

    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite:{}", folder.path().join("reservation.db").display());
        Self::open(url, folder).await
    }

    /// A schema of its own, so that tests can run side by side.
    #[expect(clippy::disallowed_methods, reason = "where the tests' PostgreSQL is")]
    pub(crate) async fn postgres() -> Option<Self> {
        let base = std::env::var("HAETAE_TEST_POSTGRES_URL").ok()?;
        let schema = format!("t{}", u64::from_le_bytes(entropy::bytes()));
        let admin = Sql::connect(&base.clone().into(), "test", 2).await.expect("PostgreSQL");
        let statement = format!("CREATE SCHEMA {schema}");
        admin.write.execute_unprepared(&statement).await.expect("a schema");
        let separator = if base.contains('?') { '&' } else { '?' };
        let url = format!("{base}{separator}options=-c%20search_path%3D{schema}");
        Some(Self::open(url, tempfile::tempdir().expect("a folder")).await)
    }

    async fn open(url: String, folder: TempDir) -> Self {
        let sql = Sql::connect(&url.clone().into(), "test", 16).await.expect("a database");
        migrations::apply(&sql).await.expect("migrations");
        Self { store: Store::new(sql), url, _folder: folder }
    }

    /// The same database through connections of its own, as another process has them.
    pub(crate) async fn another(&self) -> Store {
        let sql = Sql::connect(&self.url.clone().into(), "test", 4).await.expect("a database");
        Store::new(sql)
    }

    pub(crate) async fn item(&self, quantity: u32) -> ItemId {
        self.priced_item(quantity, None).await
    }

    pub(crate) async fn priced_item(&self, quantity: u32, price: Option<i64>) -> ItemId {
        let currency = "KRW".parse().expect("a currency");
        let price = price
            .map(|minor| crate::domain::money::Money::new(minor, currency).expect("an amount"));
        let about = Description {
            sku: None,
            name: "a thing".to_owned(),
            description: None,
            price,
            starts_at: None,
            attributes: serde_json::Map::new(),
        };
        let stock = Stock::new(quantity).expect("a quantity");
        self.store.create_item(about, stock, now()).await.expect("an item").id
    }

    pub(crate) async fn stock(&self, item: ItemId) -> Stock {
        self.store.find_item(item).await.expect("readable").expect("there").stock
    }

    /// Accepts a reservation and returns its id.
    pub(crate) async fn accept(
        &self,
        lines: &[(ItemId, u32)],
        token: Option<&str>,
    ) -> ReservationId {
        accept_on(&self.store, lines, token).await
    }

    pub(crate) async fn own_all(&self, count: u16, owner: &str) -> Vec<(Partition, Fence)> {
        let mut fences = Vec::new();
        for number in 0..count {
            let partition = Partition::new(number);
            let fence = self.store.take_partition(partition, owner, now()).await.expect("taken");
            fences.push((partition, fence));
        }
        fences
    }
}

/// Accepts a reservation in `store` and returns its id.
pub(crate) async fn accept_on(
    store: &Store,
    lines: &[(ItemId, u32)],
    token: Option<&str>,
) -> ReservationId {
    let request = AcceptRequest { new: request(lines, token), answer: None };
    let mut outcomes = store.accept(vec![request], RULES, now()).await.expect("accepted");
    match outcomes.pop() {
        Some(Acceptance::Accepted(accepted)) => accepted.request.id,
        other => panic!("{other:?}"),
    }
}

pub(crate) const PARTITIONS: u16 = 4;

pub(crate) fn request(lines: &[(ItemId, u32)], token: Option<&str>) -> NewReservation {
    let basket = Basket::new(lines.iter().map(|(item, units)| Line {
        item: *item,
        quantity: Quantity::new(*units).expect("a quantity"),
    }))
    .expect("a basket");
    let id = ReservationId::new(now());
    NewReservation {
        id,
        subject: "usr_test".to_owned(),
        client_id: "client".to_owned(),
        partition: basket.partition(PARTITIONS),
        basket,
        payment_token: token.map(ToOwned::to_owned),
        note: None,
        key: IdempotencyKey { key: id.to_string(), fingerprint: "f".to_owned() },
    }
}
