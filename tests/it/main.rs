//! The black-box tests: one binary, every test with a stack of its own.

/// Makes two tests of each `async fn NAME(database: Database)`: one on SQLite, one on PostgreSQL.
#[cfg(test)]
macro_rules! on_both_databases {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                Box::pin(super::$name(haetae_tests::stack::Database::Sqlite)).await;
            })+
        }
        mod postgres {
            $(#[tokio::test]
            async fn $name() {
                Box::pin(super::$name(haetae_tests::stack::Database::Postgres)).await;
            })+
        }
    };
}

#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod forged_tokens;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod main_path;
#[cfg(test)]
mod oversell;
#[cfg(test)]
mod refresh;
#[cfg(test)]
mod revocation;
#[cfg(test)]
mod smuggling;
