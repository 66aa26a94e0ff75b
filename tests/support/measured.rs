//! Figures that a run should tell although its tests pass, when what they print is not shown: a file
//! each, which `make test` shows at its end.

use std::path::Path;

/// Tells a figure of this run.
pub fn measured(what: &str, figure: &str) {
    println!("{what}: {figure}");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("measured");
    std::fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join(what.replace(|c: char| !c.is_ascii_alphanumeric(), "-"));
    std::fs::write(file, format!("measured: {what}: {figure}\n")).expect("a file");
}
