//! The `onceward` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    onceward::cli::main()
}
