//! The log: one line an event on standard error, as text for a person or JSON for a collector.

use std::io;

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// How a line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For a person at a terminal.
    #[default]
    Text,
    /// One JSON object a line, for a collector.
    Json,
}

/// A level or filter that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("log.level: {0}")]
pub struct InvalidLevel(#[from] tracing_subscriber::filter::ParseError);

/// Whether `level` can be read, without starting anything.
///
/// # Errors
/// When it cannot.
pub fn check_level(level: &str) -> Result<(), InvalidLevel> {
    EnvFilter::builder().parse(level)?;
    Ok(())
}

/// Starts the log of this process. `level` is a level (`info`) or a list by target
/// (`info,haetae_gateway=debug`). A second call changes nothing.
///
/// # Errors
/// When `level` cannot be read.
pub fn start(format: Format, level: &str) -> Result<(), InvalidLevel> {
    let filter = EnvFilter::builder().parse(level)?;
    let registry = tracing_subscriber::registry().with(filter);
    // `try_init` refuses a second subscriber, which is what a second call means here.
    let _already_started = match format {
        Format::Text => registry
            .with(
                fmt::layer()
                    .with_writer(io::stderr)
                    .with_ansi(io::IsTerminal::is_terminal(&io::stderr())),
            )
            .try_init(),
        Format::Json => registry
            .with(fmt::layer().json().flatten_event(true).with_writer(io::stderr))
            .try_init(),
    };
    Ok(())
}
