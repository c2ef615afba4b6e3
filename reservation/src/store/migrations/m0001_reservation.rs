//! The first schema: inventory with its search, reservations with all that belongs to them, the outbox,
//! idempotency keys, partitions, and the simulated payment provider's own book.

use sea_orm::{ConnectionTrait, DbBackend, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0001_reservation"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        let sqlite = manager.get_database_backend() == DbBackend::Sqlite;
        let number = if sqlite {
            "INTEGER PRIMARY KEY AUTOINCREMENT"
        } else {
            "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"
        };
        connection.execute_unprepared(&TABLES.replace("{number}", number)).await?;
        connection.execute_unprepared(if sqlite { SQLITE } else { POSTGRES }).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        if manager.get_database_backend() == DbBackend::Sqlite {
            connection.execute_unprepared("DROP TABLE inventory_search").await?;
        }
        for table in [
            "simulated_charges",
            "partitions",
            "idempotency_keys",
            "outbox",
            "payments",
            "reservation_history",
            "reservation_items",
            "reservations",
            "inventory",
        ] {
            connection.execute_unprepared(&format!("DROP TABLE {table}")).await?;
        }
        Ok(())
    }
}

/// `num` orders lists and cursors; `terms` is what can be searched for, in lower case, by spaces.
/// `inventory_id` is no foreign key: items are never deleted, accepting looks them up in the same transaction,
/// and the check of a key would touch the hot row with every request.
/// `due_at` is when a worker has to look at a reservation at the latest; NULL when nothing is left to do.
const TABLES: &str = "
CREATE TABLE inventory (
    num {number},
    id TEXT NOT NULL UNIQUE,
    sku TEXT UNIQUE,
    name TEXT NOT NULL,
    description TEXT,
    quantity BIGINT NOT NULL,
    available BIGINT NOT NULL,
    held BIGINT NOT NULL,
    sold BIGINT NOT NULL,
    version BIGINT NOT NULL,
    price_minor BIGINT,
    currency TEXT,
    starts_at BIGINT,
    attributes TEXT,
    terms TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    CONSTRAINT stock_is_not_negative CHECK (available >= 0 AND held >= 0 AND sold >= 0),
    CONSTRAINT stock_adds_up CHECK (quantity = available + held + sold),
    CONSTRAINT price_has_currency CHECK ((price_minor IS NULL) = (currency IS NULL))
);

CREATE TABLE reservations (
    id TEXT PRIMARY KEY,
    subject TEXT NOT NULL,
    client_id TEXT NOT NULL,
    status TEXT NOT NULL,
    keeps TEXT NOT NULL,
    goal TEXT NOT NULL,
    part BIGINT NOT NULL,
    version BIGINT NOT NULL,
    total_minor BIGINT,
    currency TEXT,
    note TEXT,
    hold_expires_at BIGINT,
    refusal TEXT,
    due_at BIGINT,
    attempts BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX reservations_by_subject ON reservations (subject, id);
CREATE INDEX reservations_due ON reservations (part, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX reservations_attention ON reservations (id) WHERE status = 'attention';

CREATE TABLE reservation_items (
    reservation_id TEXT NOT NULL REFERENCES reservations (id),
    line BIGINT NOT NULL,
    inventory_id TEXT NOT NULL,
    quantity BIGINT NOT NULL CHECK (quantity > 0),
    PRIMARY KEY (reservation_id, line)
);

CREATE TABLE reservation_history (
    reservation_id TEXT NOT NULL REFERENCES reservations (id),
    version BIGINT NOT NULL,
    status TEXT NOT NULL,
    reason TEXT,
    at BIGINT NOT NULL,
    PRIMARY KEY (reservation_id, version)
);

CREATE TABLE payments (
    id TEXT PRIMARY KEY,
    reservation_id TEXT NOT NULL REFERENCES reservations (id),
    state TEXT NOT NULL,
    token TEXT NOT NULL,
    amount_minor BIGINT,
    currency TEXT,
    reference TEXT,
    refusal TEXT,
    last_error TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX payments_by_reservation ON payments (reservation_id, id);

CREATE TABLE outbox (
    seq {number},
    reservation_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    payload TEXT NOT NULL,
    at BIGINT NOT NULL
);
CREATE INDEX outbox_by_reservation ON outbox (reservation_id, seq);

CREATE TABLE idempotency_keys (
    subject TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    reservation_id TEXT NOT NULL,
    answer_status BIGINT,
    answer TEXT,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (subject, idempotency_key)
);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);

CREATE TABLE partitions (
    part BIGINT PRIMARY KEY,
    fence BIGINT NOT NULL,
    owner TEXT NOT NULL,
    taken_at BIGINT NOT NULL
);

CREATE TABLE simulated_charges (
    charge_key TEXT PRIMARY KEY,
    token TEXT NOT NULL,
    amount_minor BIGINT NOT NULL,
    currency TEXT,
    state TEXT NOT NULL,
    reference TEXT,
    reason TEXT,
    calls BIGINT NOT NULL,
    captures BIGINT NOT NULL,
    refunds BIGINT NOT NULL
);
";

/// FTS5 beside the table, kept by triggers that stock movements never fire. `detail=none`: words are
/// matched, not phrases, and the index is a third of the size.
const SQLITE: &str = "
CREATE VIRTUAL TABLE inventory_search USING fts5(
    terms, content='inventory', content_rowid='num', detail='none', columnsize=0,
    prefix='2 3', tokenize='unicode61 remove_diacritics 0'
);
CREATE TRIGGER inventory_search_insert AFTER INSERT ON inventory BEGIN
    INSERT INTO inventory_search (rowid, terms) VALUES (new.num, new.terms);
END;
CREATE TRIGGER inventory_search_delete AFTER DELETE ON inventory BEGIN
    INSERT INTO inventory_search (inventory_search, rowid, terms)
        VALUES ('delete', old.num, old.terms);
END;
CREATE TRIGGER inventory_search_update AFTER UPDATE OF terms ON inventory
    WHEN old.terms <> new.terms BEGIN
    INSERT INTO inventory_search (inventory_search, rowid, terms)
        VALUES ('delete', old.num, old.terms);
    INSERT INTO inventory_search (rowid, terms) VALUES (new.num, new.terms);
END;
";

/// A generated column that stock movements never compute again, and room on each page so that a hot
/// row's versions stay beside one another.
const POSTGRES: &str = "
ALTER TABLE inventory ADD COLUMN search tsvector
    GENERATED ALWAYS AS (array_to_tsvector(string_to_array(terms, ' '))) STORED;
CREATE INDEX inventory_search ON inventory USING gin (search);
ALTER TABLE inventory SET (fillfactor = 80);
ALTER TABLE reservations SET (fillfactor = 80);
";
