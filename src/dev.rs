//! Everything on one machine.
use std::process::ExitCode;
/// Arguments.
#[derive(clap::Args)]
pub struct SandboxArgs {}
/// dev
pub fn main() -> ExitCode {
    ExitCode::FAILURE
}
/// sandbox
pub fn sandbox(_: SandboxArgs) -> ExitCode {
    ExitCode::FAILURE
}
