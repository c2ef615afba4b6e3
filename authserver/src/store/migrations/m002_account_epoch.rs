//! Accounts get an epoch: sessions and codes of an earlier one are worthless.

use sea_orm_migration::{prelude::*, schema::big_integer};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m002_account_epoch"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut epoch = big_integer("epoch");
        epoch.default(0);
        manager.alter_table(Table::alter().table("accounts").add_column(epoch).to_owned()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.alter_table(Table::alter().table("accounts").drop_column("epoch").to_owned()).await
    }
}
