//! Where log lines go and what they look like. What may stand in them is each room's own care:
//! bodies, tokens and credentials never reach a log call. None of our dependencies writes through
//! `tracing`, so no filter, however wide, lets theirs in.

use crate::config::LogFormat;
use crate::lines;
use std::any::Any;
use std::io::IsTerminal;
use std::panic::PanicHookInfo;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

/// Writes what is still on its way when it is dropped: hold it to the end.
pub struct Logging(());

impl Drop for Logging {
    fn drop(&mut self) {
        lines::flush();
    }
}

/// Starts logging to standard output, which no thread of ours waits for but one.
///
/// # Errors
/// When logging was started before, the filter cannot be read, or there is no thread to be had.
pub fn start(
    filter: &str,
    format: LogFormat,
) -> Result<Logging, Box<dyn std::error::Error + Send + Sync>> {
    let filter: EnvFilter = filter.parse()?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_span_events(FmtSpan::NONE)
        // It would write to standard error, which may be as full.
        .log_internal_errors(false)
        .with_writer(lines::start()?);
    match format {
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .try_init(),
        // Colours are for terminals; a collector would keep their escapes.
        LogFormat::Text => lines.with_ansi(std::io::stdout().is_terminal()).try_init(),
    }?;
    std::panic::set_hook(Box::new(tell_panic));
    Ok(Logging(()))
}

/// A panic as a log line like any other: where, but not with what in hand.
fn tell_panic(panic: &PanicHookInfo<'_>) {
    let at = panic.location().map(ToString::to_string);
    let why = written(panic.payload());
    tracing::error!(at, why, "a bug: please report it");
}

/// A panic's message where it was written into the source. One that was put together when it
/// happened may quote a request.
fn written(payload: &dyn Any) -> Option<&'static str> {
    payload.downcast_ref::<&'static str>().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_in_the_source_is_told_of_a_panic() {
        let literal: Box<dyn Any> = Box::new("it cannot be");
        assert_eq!(written(&*literal), Some("it cannot be"));
        let formatted: Box<dyn Any> = Box::new(format!("card {}", 4111));
        assert_eq!(written(&*formatted), None);
    }
}
