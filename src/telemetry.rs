//! Where log lines go and what they look like. What may stand in them is each room's own care:
//! bodies, tokens and credentials never reach a log call.

use crate::config::LogFormat;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

/// Starts logging to standard output.
///
/// # Errors
/// When logging was started before, or the filter cannot be read.
pub fn start(
    filter: &str,
    format: LogFormat,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let filter: EnvFilter = filter.parse()?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_span_events(FmtSpan::NONE);
    match format {
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(true).try_init(),
        LogFormat::Text => lines.try_init(),
    }
}
