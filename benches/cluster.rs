//! `make bench BENCH=--cluster`: whether a shard does as much in a Cluster of three as alone.
//!
//! First requests through one sidecar, on one Redis and on a Cluster of three primaries in turn. What
//! a payment costs Redis, all primaries together, should be the same, and each primary should do a
//! third of it: then three shards carry three times what one does.

use crate::contender::{Contender, Kind, Place};
use crate::figures::Spread;
use crate::load::load;
use crate::redis::Redis;
use crate::table;
use crate::upstream::Upstream;
use crate::{BenchError, Length, free_port, until};
use std::path::Path;

/// All slots of a Cluster, in three parts.
const SLOTS: [(u32, u32); 3] = [(0, 5460), (5461, 10922), (10923, 16383)];

/// One turn.
struct Turn {
    /// CPU of all primaries, us a request.
    redis: f64,
    /// CPU of the sidecar, us a request.
    sidecar: f64,
    /// The share of all commands each primary ran.
    shares: Vec<f64>,
}

/// Measures both, over and over, and prints what came of it; `write` puts it into the README.
pub(crate) fn cluster(length: Length, write: bool) -> Result<(), BenchError> {
    let folder = tempfile::tempdir()?;
    let upstream = Upstream::start()?;
    let mut alone = vec![Redis::start(folder.path())?];
    let mut three = primaries(folder.path())?;
    let (mut one, mut many) = (Vec::new(), Vec::new());
    for _ in 0..length.repeats {
        for (kind, servers, turns) in [
            (Kind::Onceward, &mut alone, &mut one),
            (Kind::OncewardOnCluster, &mut three, &mut many),
        ] {
            turns.push(turn(kind, servers, &upstream, folder.path(), length.seconds)?);
        }
    }
    let table = markdown(&one, &many);
    println!("{table}");
    if !write {
        return Ok(());
    }
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    table::put(&page, "bench BENCH=--cluster", &table)
}

/// What a payment costs either of them, and so how many a second a primary's core carries.
fn markdown(one: &[Turn], many: &[Turn]) -> String {
    let mut table = String::from(
        "| Redis | its CPU, all primaries | so a primary's core carries | sidecar's CPU | commands by \
         primary |\n|---|---|---|---|---|\n",
    );
    for (name, turns) in [("standalone", one), ("Cluster, 3 primaries", many)] {
        let spread = |figure: fn(&Turn) -> f64| {
            let spread = Spread::of(turns.iter().map(figure).collect());
            spread.map_or(String::new(), |Spread { median, least, most }| {
                format!("{median:.1} us ({least:.1}-{most:.1})")
            })
        };
        let shares = turns.last().map(|turn| &turn.shares);
        let shares: Vec<_> =
            shares.into_iter().flatten().map(|share| format!("{:.0} %", share * 100.0)).collect();
        let (redis, sidecar) = (spread(|turn| turn.redis), spread(|turn| turn.sidecar));
        let carried = Spread::of(turns.iter().map(|turn| 1e6 / turn.redis).collect());
        let carried = carried.map_or(0.0, |spread| spread.median);
        table += &format!(
            "| {name} | {redis} | {carried:.0} payments/s | {sidecar} | {} |\n",
            shares.join(", ")
        );
    }
    table
}

fn turn(
    kind: Kind,
    servers: &mut [Redis],
    upstream: &Upstream,
    folder: &std::path::Path,
    seconds: u32,
) -> Result<Turn, BenchError> {
    for server in servers.iter_mut() {
        server.clear()?;
    }
    let contender = Contender::start(kind, &Place { folder, upstream, redis: &servers[0] })?;
    load(contender.address, "first", "warm", 1)?;
    for server in servers.iter_mut() {
        server.command::<()>(&["CONFIG", "RESETSTAT"])?;
    }
    let sidecar = || contender.process.as_ref().map_or(0.0, |process| process.cpu());
    let cpu = |servers: &[Redis]| servers.iter().map(|server| server.process.cpu()).sum::<f64>();
    let before = (cpu(servers), sidecar());
    let load = load(contender.address, "first", "run", seconds)?;
    let after = (cpu(servers), sidecar());
    let mut commands = Vec::new();
    for server in servers.iter_mut() {
        commands.push(server.scripts()? as f64);
    }
    let all: f64 = commands.iter().sum();
    Ok(Turn {
        redis: (after.0 - before.0) * 1e6 / load.requests,
        sidecar: (after.1 - before.1) * 1e6 / load.requests,
        shares: commands.into_iter().map(|commands| commands / all).collect(),
    })
}

/// Three primaries that have met.
fn primaries(folder: &std::path::Path) -> Result<Vec<Redis>, BenchError> {
    let (mut servers, mut met) = (Vec::new(), None::<(String, String)>);
    for (number, (first, last)) in SLOTS.iter().enumerate() {
        let home = folder.join(format!("primary-{number}"));
        std::fs::create_dir(&home)?;
        let bus = free_port()?.to_string();
        let mut server =
            Redis::start_with(&home, &["--cluster-enabled", "yes", "--cluster-port", &bus])?;
        let (first, last) = (first.to_string(), last.to_string());
        server.command::<()>(&["CLUSTER", "ADDSLOTSRANGE", &first, &last])?;
        // The first is whom the others meet.
        if let Some((port, bus)) = &met {
            server.command::<()>(&["CLUSTER", "MEET", "127.0.0.1", port, bus])?;
        }
        met.get_or_insert((server.port.to_string(), bus));
        servers.push(server);
    }
    for server in &mut servers {
        until("the primaries know one another", || {
            let info: String = server.command(&["CLUSTER", "INFO"]).ok()?;
            (info.contains("cluster_state:ok") && info.contains("cluster_size:3")).then_some(())
        })?;
    }
    Ok(servers)
}
