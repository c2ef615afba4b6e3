//! The first tables. Instants are BIGINT (UTC milliseconds), ids and sets TEXT.

use sea_orm_migration::{
    prelude::*,
    schema::{
        big_integer, big_integer_null, big_pk_auto, blob, blob_null, boolean, text, text_null,
    },
};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m001_begin"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(accounts()).await?;
        manager.create_table(totp_factors()).await?;
        manager.create_table(recovery_codes()).await?;
        manager.create_table(clients()).await?;
        manager.create_table(consents()).await?;
        manager.create_table(signing_keys()).await?;
        manager.create_table(revocations()).await?;
        manager.create_index(index("revocations", "revocations_until", &["until"])).await?;
        manager.create_table(audit_events()).await?;
        for (name, column) in [
            ("audit_events_at", "at"),
            ("audit_events_subject", "subject"),
            ("audit_events_client", "client_id"),
        ] {
            manager.create_index(index("audit_events", name, &[column, "id"])).await?;
        }
        manager.create_table(installation()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [
            "installation",
            "audit_events",
            "revocations",
            "signing_keys",
            "consents",
            "clients",
            "recovery_codes",
            "totp_factors",
            "accounts",
        ] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        Ok(())
    }
}

fn index(table: &'static str, name: &str, columns: &[&'static str]) -> IndexCreateStatement {
    let mut index = Index::create();
    index.table(table).name(name);
    for column in columns {
        index.col(*column);
    }
    index
}

fn accounts() -> TableCreateStatement {
    Table::create()
        .table("accounts")
        .col(text("id").primary_key())
        .col(text("username"))
        .col(text("username_folded").unique_key())
        .col(text("display_name"))
        .col(text_null("email"))
        .col(boolean("email_verified"))
        .col(text_null("locale"))
        .col(text("roles"))
        .col(text_null("password_hash"))
        .col(big_integer_null("disabled_at"))
        .col(big_integer("created_at"))
        .col(big_integer("updated_at"))
        .col(big_integer("version"))
        .to_owned()
}

/// A reference to the account that the row goes with.
fn of_account(table: &'static str) -> ForeignKeyCreateStatement {
    ForeignKey::create()
        .from(table, "account_id")
        .to("accounts", "id")
        .on_delete(ForeignKeyAction::Cascade)
        .to_owned()
}

fn totp_factors() -> TableCreateStatement {
    Table::create()
        .table("totp_factors")
        .col(text("account_id").primary_key())
        .col(blob("sealed_secret"))
        .col(big_integer("created_at"))
        .col(big_integer_null("confirmed_at"))
        .col(big_integer_null("last_used_step"))
        .foreign_key(&mut of_account("totp_factors"))
        .to_owned()
}

fn recovery_codes() -> TableCreateStatement {
    Table::create()
        .table("recovery_codes")
        .col(text("account_id"))
        .col(blob("code_hash"))
        .col(big_integer_null("used_at"))
        .primary_key(Index::create().col("account_id").col("code_hash"))
        .foreign_key(&mut of_account("recovery_codes"))
        .to_owned()
}

fn clients() -> TableCreateStatement {
    Table::create()
        .table("clients")
        .col(text("client_id").primary_key())
        .col(text("metadata"))
        .col(blob_null("sealed_secret_hash"))
        .col(boolean("first_party"))
        .col(big_integer_null("disabled_at"))
        .col(big_integer("created_at"))
        .col(big_integer("updated_at"))
        .col(big_integer("version"))
        .to_owned()
}

fn consents() -> TableCreateStatement {
    Table::create()
        .table("consents")
        .col(text("account_id"))
        .col(text("client_id"))
        .col(text("scope"))
        .col(big_integer("granted_at"))
        .primary_key(Index::create().col("account_id").col("client_id"))
        .foreign_key(&mut of_account("consents"))
        .to_owned()
}

fn signing_keys() -> TableCreateStatement {
    Table::create()
        .table("signing_keys")
        .col(text("kid").primary_key())
        .col(text("algorithm"))
        .col(text("state"))
        .col(blob("sealed_private"))
        .col(text("public_jwk"))
        .col(big_integer("created_at"))
        .col(big_integer("activate_at"))
        .col(big_integer_null("retire_at"))
        .col(big_integer_null("remove_at"))
        .to_owned()
}

fn revocations() -> TableCreateStatement {
    Table::create()
        .table("revocations")
        .col(big_pk_auto("id"))
        .col(text("kind"))
        .col(text("value"))
        .col(big_integer("issued_before"))
        .col(big_integer("until"))
        .col(big_integer("created_at"))
        .col(boolean("published"))
        .to_owned()
}

fn audit_events() -> TableCreateStatement {
    Table::create()
        .table("audit_events")
        .col(text("id").primary_key())
        .col(big_integer("at"))
        .col(text("event"))
        .col(text("outcome"))
        .col(text_null("subject"))
        .col(text_null("client_id"))
        .col(text_null("sid"))
        .col(text_null("address"))
        .col(text_null("user_agent"))
        .col(text_null("request_id"))
        .col(text("detail"))
        .to_owned()
}

/// Facts about the installation as a whole, such as that it is a demo.
fn installation() -> TableCreateStatement {
    Table::create()
        .table("installation")
        .col(text("name").primary_key())
        .col(text("value"))
        .to_owned()
}
