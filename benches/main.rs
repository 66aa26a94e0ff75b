//! `make bench`: everything side by side, in one run, alternating.
//!
//! ```text
//!   wrk ──► contender ──► payment service      Redis is everybody's, cleared between runs
//!               └──► Redis
//! ```
//!
//! Every contender takes its turn at every workload, and then all of it again: what the machine does
//! meanwhile, it does to all of them. CPU is what /proc says each process used, so the load's and the
//! payment service's own are left out. Throughput is the whole machine's: all share its cores.

mod burst;
mod bytes;
mod cluster;
mod contender;
mod figures;
mod floor;
mod instructions;
mod load;
mod pace;
mod plot;
mod process;
mod redis;
mod scale;
mod table;
mod train;
mod upstream;
mod wire;
mod workload;

use contender::Sidecar;
use figures::Figures;
use std::fs;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use upstream::Upstream;
use workload::Bench;

/// The same as the sidecar's: what stands below it must not pay more for memory than it does.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Why something could not be measured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    /// The system's word.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Redis'.
    #[error(transparent)]
    Redis(#[from] ::redis::RedisError),
    /// What was measured did not do its job.
    #[error("{0}")]
    Wrong(String),
}

/// How often everything is measured, and for how many seconds each time.
#[derive(Clone, Copy)]
struct Length {
    repeats: usize,
    seconds: u32,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let has = |word: &str| words.iter().any(|given| given == word);
    let length = match has("--quick") {
        true => Length { repeats: 3, seconds: 2 },
        false => Length { repeats: 5, seconds: 2 },
    };
    let value = |name: &str| words.iter().find_map(|word| word.strip_prefix(name));
    let run = |sidecar: Sidecar| {
        if let Some(counts) = value("--train=") {
            train::train(sidecar, Path::new(counts))
        } else if has("--instructions") {
            instructions::instructions(&sidecar, has("--accept"))
        } else if has("--cluster") {
            cluster::cluster(&sidecar, length, has("--write"))
        } else {
            let figures = bench(&sidecar, length, value("--only="))?;
            report(&figures, has("--write"))
        }
    };
    let done = match (value("--binary=").map(PathBuf::from), value("--floor=")) {
        (Some(binary), _) => run(Sidecar { binary, variables: Vec::new() }),
        (None, Some(which)) => floor::run(which, value),
        (None, None) if has("--bytes") => bytes::bytes(has("--write")),
        (None, None) => {
            Err(BenchError::Wrong("--binary=PATH says what is measured: see make bench".into()))
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Every contender at every workload, `only` those whose name holds this, over and over.
fn bench(sidecar: &Sidecar, length: Length, only: Option<&str>) -> Result<Figures, BenchError> {
    let folder = tempfile::tempdir()?;
    let upstream = Upstream::start()?;
    let mut redis = redis::Redis::start(folder.path())?;
    let mut figures = Figures::default();
    let mut bench =
        Bench { folder: folder.path(), upstream: &upstream, redis: &mut redis, sidecar, length };
    floor::record(&bench.place())?;
    let is_wanted = |name: &str| only.is_none_or(|only| name.contains(only));
    for repeat in 1..=length.repeats {
        for workload in workload::ALL.iter().filter(|workload| is_wanted(workload.name)) {
            for kind in workload.contenders {
                if figures.is_unmeasured(*kind) {
                    continue;
                }
                let line = format!("{repeat} {:<22} {:<24}", workload.name, kind.name());
                // On a machine that is busy elsewhere a command may take too long: one more chance.
                let first = bench.measure(*kind, workload);
                match first.or_else(|_| bench.measure(*kind, workload)) {
                    Ok(sample) => {
                        eprintln!("{line} {sample}");
                        figures.add(workload, *kind, sample);
                    }
                    // A peer may be missing; we may not.
                    Err(error) if kind.is_peer() => {
                        eprintln!("{line} not measured: {error}");
                        figures.cannot(*kind);
                    }
                    Err(error) => return Err(error),
                }
            }
        }
    }
    Ok(figures)
}

/// Prints the table, and keeps it and the drawing: in `target/bench`, or, when asked to `write`, where
/// the README shows them.
fn report(figures: &Figures, write: bool) -> Result<(), BenchError> {
    let (mut table, svg) = (table::markdown(figures), plot::svg(figures));
    for more in [floor::markdown(figures), scale::markdown(figures)].into_iter().flatten() {
        table = format!("{table}\n{more}");
    }
    println!("{table}");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = if write { root.join("docs") } else { root.join("target/bench") };
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("bench.svg"), svg)?;
    match write {
        true => {
            let shown = format!("![CPU a request](docs/bench.svg)\n\n{table}");
            table::put(&root.join("README.md"), "bench", &shown)
        }
        false => Ok(fs::write(folder.join("bench.md"), table)?),
    }
}

/// A port nobody listens on at the moment.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Longer than anything takes to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until there is something.
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T, BenchError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            return Err(BenchError::Wrong(format!("it never came to pass that {what}")));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
