//! The black-box tests: one binary, every test with a stack of its own.
#![expect(
    clippy::disallowed_methods,
    clippy::too_many_lines,
    reason = "tests measure real time, and a table of cases is as long as its cases"
)]

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
mod attacks;
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod browser_session;
#[cfg(test)]
mod browser_walk;
#[cfg(test)]
mod command_line;
#[cfg(test)]
mod compose_roles;
#[cfg(test)]
mod deploy_compose;
#[cfg(test)]
mod flights;
#[cfg(test)]
mod flood;
#[cfg(test)]
mod forged_tokens;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod helm_chart;
#[cfg(test)]
mod https;
#[cfg(test)]
mod interop;
#[cfg(test)]
mod main_path;
#[cfg(test)]
mod manners;
#[cfg(test)]
mod outage;
#[cfg(test)]
mod oversell;
#[cfg(test)]
mod posted_by_an_application;
#[cfg(test)]
mod refresh;
#[cfg(test)]
mod restart;
#[cfg(test)]
mod revocation;
#[cfg(test)]
mod second_factor;
#[cfg(test)]
mod smuggling;
#[cfg(test)]
mod watching;
#[cfg(test)]
mod worker_crash;
