//! `haetae inventory`: bringing in items from a file.

use std::{
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use haetae_base::{
    clock::{Clock, SystemClock},
    sql::Sql,
};
use haetae_config::Config;
use haetae_reservation::import::{
    self, BadLines, Format, ImportError, Imported, OnProgress, Options, Progress,
};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tokio::io::AsyncRead;

use crate::{
    cli::{OutputArgs, SettingsArgs},
    output, settings,
};

#[derive(Debug, Subcommand)]
pub(crate) enum InventoryCommand {
    /// Import items from a file: all of them, or none
    Import(ImportArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "NDJSON has one item a line, as POST /api/v1/inventory takes it:
  {\"sku\": \"UA1545\", \"name\": \"Newark to Houston\", \"quantity\": 149, \"price\": {\"amount_minor\": 19900, \"currency\": \"USD\"}}
CSV has a head line; the columns sku, name, description, quantity, price_minor, currency and starts_at are
the item's, every other column becomes an attribute. An item with a known sku is brought up to date.

Examples:
  haetae inventory import flights.ndjson
  zcat items.csv.gz | haetae inventory import - --format csv --skip-bad")]
pub(crate) struct ImportArgs {
    /// The file; - for standard input
    file: PathBuf,
    /// How it is written (default: what its name says)
    #[arg(long)]
    format: Option<FormatName>,
    /// Leave bad lines out and import the others, instead of nothing
    #[arg(long)]
    skip_bad: bool,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormatName {
    Ndjson,
    Csv,
}

impl ImportArgs {
    fn is_stdin(&self) -> bool {
        self.file == Path::new("-")
    }

    fn format(&self) -> Result<Format> {
        match self.format {
            Some(FormatName::Ndjson) => Ok(Format::Ndjson),
            Some(FormatName::Csv) => Ok(Format::Csv),
            None if self.is_stdin() => bail!("say how it is written: --format ndjson or csv"),
            None => Format::of(&self.file).with_context(|| {
                format!(
                    "{}: its name does not say how it is written; add --format ndjson or csv",
                    self.file.display()
                )
            }),
        }
    }
}

/// Runs the command.
pub(crate) async fn run(command: InventoryCommand, settings: &SettingsArgs) -> Result<()> {
    let InventoryCommand::Import(args) = command;
    let format = args.format()?;
    let (reader, size) = open(&args).await?;
    let config = settings::load_beside(settings, settings::OF_RESERVATION)?;
    let sql = connect(&config).await?;
    let bar = bar(size);
    let clock = SystemClock;
    let began = clock.now();
    let options = Options { skip_bad: args.skip_bad };
    let outcome =
        import::run(&sql, reader, format, options, Arc::new(clock), on_progress(bar.clone())).await;
    bar.finish_and_clear();
    match outcome {
        Ok(imported) => {
            report(&args.file, &imported.bad);
            tell(&imported, clock.now().since(began), args.output)?;
            if imported.bad.count > 0 && !args.skip_bad {
                bail!(
                    "{} left out: more was reserved while the others were imported",
                    output::counted(imported.bad.count, "line")
                );
            }
            Ok(())
        }
        Err(ImportError::BadLines(bad)) => {
            report(&args.file, &bad);
            bail!(
                "{}; nothing was imported. Mend what is bad, or import the others with --skip-bad",
                output::counted(bad.count, "bad line")
            );
        }
        Err(error) => Err(error).with_context(|| args.file.display().to_string()),
    }
}

/// Opens the reservation service's database, with its tables as this program needs them.
pub(crate) async fn connect(config: &Config) -> Result<Sql> {
    if config.database.migrate {
        haetae_reservation::migrate(config).await?;
    }
    let url = config.reservation_database_url();
    Ok(Sql::connect(&url, "database.reservation_url", config.database.max_connections).await?)
}

async fn open(args: &ImportArgs) -> Result<(Box<dyn AsyncRead + Unpin + Send>, Option<u64>)> {
    if args.is_stdin() {
        return Ok((Box::new(tokio::io::stdin()), None));
    }
    let failed = || format!("cannot read {}", args.file.display());
    let file = tokio::fs::File::open(&args.file).await.with_context(failed)?;
    let size = file.metadata().await.with_context(failed)?.len();
    Ok((Box::new(file), Some(size)))
}

/// A bar on a terminal, nothing elsewhere.
fn bar(size: Option<u64>) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = size.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    let template = if size.is_some() {
        "{msg:>9} {wide_bar} {percent:>3} % {eta:>4} left"
    } else {
        "{msg:>9} {spinner}"
    };
    bar.set_style(
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn on_progress(bar: ProgressBar) -> OnProgress {
    let mut writing = false;
    Box::new(move |progress| match progress {
        Progress::Reading { bytes, .. } => {
            bar.set_message("checking");
            bar.set_position(bytes);
        }
        Progress::Writing { items, of } => {
            if !writing {
                writing = true;
                bar.reset();
                bar.set_message("writing");
                bar.set_length(of);
            }
            bar.set_position(items);
        }
    })
}

/// Tells each bad line as `FILE:LINE: why`.
fn report(file: &Path, bad: &BadLines) {
    for line in &bad.first {
        output::note(format_args!("{}:{}: {}", file.display(), line.line, line.reason));
    }
    let more = bad.count.saturating_sub(u64::try_from(bad.first.len()).unwrap_or(u64::MAX));
    if more > 0 {
        output::note(format_args!(
            "{}: and {} more",
            file.display(),
            output::counted(more, "bad line")
        ));
    }
}

fn tell(imported: &Imported, took: Duration, output: OutputArgs) -> Result<()> {
    let Imported { created, updated, unchanged, bad } = imported;
    if output.json {
        return output::json(&json!({
            "created": created,
            "updated": updated,
            "unchanged": unchanged,
            "bad": bad.count,
            "seconds": took.as_secs_f64(),
        }));
    }
    output::line(format_args!(
        "imported {} in {:.1} s: {created} new, {updated} changed, {unchanged} as they were, {} left out",
        output::counted(created + updated, "item"),
        took.as_secs_f64(),
        output::counted(bad.count, "line"),
    ));
    Ok(())
}
