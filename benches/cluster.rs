//! `make bench BENCH=--cluster`: whether a shard does as much in a Cluster of three as alone.
//!
//! First requests through one sidecar, on one Redis and on a Cluster of three primaries in turn. What
//! a payment costs Redis, all primaries together, should be the same, and each primary should do a
//! third of it: then three shards carry three times what one does. A server that gets many commands
//! at once reads and answers them in one go, so one Redis is measured with a third of the load too:
//! as many payments in hand for each server as in the Cluster.

use crate::contender::{Contender, Kind, Place, Sidecar};
use crate::figures::Spread;
use crate::load::{CONNECTIONS, load, load_over};
use crate::redis::Redis;
use crate::table;
use crate::upstream::Upstream;
use crate::{BenchError, Length, free_port, until};
use std::path::Path;

/// All slots of a Cluster, in three parts.
const SLOTS: [(u32, u32); 3] = [(0, 5460), (5461, 10922), (10923, 16383)];

/// What is compared.
struct Case {
    name: &'static str,
    in_cluster: bool,
    /// Payments in hand.
    connections: usize,
}

const CASES: [Case; 3] = [
    Case { name: "one", in_cluster: false, connections: CONNECTIONS },
    Case { name: "one, a third of the load", in_cluster: false, connections: CONNECTIONS / 3 + 1 },
    Case { name: "Cluster, 3 primaries", in_cluster: true, connections: CONNECTIONS },
];

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
pub(crate) fn cluster(sidecar: &Sidecar, length: Length, write: bool) -> Result<(), BenchError> {
    let folder = tempfile::tempdir()?;
    let upstream = Upstream::start()?;
    let mut alone = vec![Redis::start(folder.path())?];
    let mut three = primaries(folder.path())?;
    let mut turns = [Vec::new(), Vec::new(), Vec::new()];
    let place = (&upstream, folder.path(), sidecar);
    for _ in 0..length.repeats {
        for (case, turns) in CASES.iter().zip(&mut turns) {
            let servers = if case.in_cluster { &mut three } else { &mut alone };
            turns.push(turn(case, servers, place, length.seconds)?);
        }
    }
    let table = markdown(&turns);
    println!("{table}");
    if !write {
        return Ok(());
    }
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    table::put(&page, "bench BENCH=--cluster", &table)
}

/// What a payment costs either of them, and so how many a second a primary's core carries.
fn markdown(turns: &[Vec<Turn>; 3]) -> String {
    let mut table = String::from(
        "| Redis | its CPU, all primaries | so a primary's core carries | sidecar's CPU | commands by \
         primary |\n|---|---|---|---|---|\n",
    );
    for (Case { name, .. }, turns) in CASES.iter().zip(turns) {
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
    case: &Case,
    servers: &mut [Redis],
    (upstream, folder, sidecar): (&Upstream, &Path, &Sidecar),
    seconds: u32,
) -> Result<Turn, BenchError> {
    let kind = if case.in_cluster { Kind::OncewardOnCluster } else { Kind::Onceward };
    for server in servers.iter_mut() {
        server.clear()?;
    }
    let place = Place { folder, upstream, redis: &servers[0], sidecar };
    let contender = Contender::start(kind, &place)?;
    load(contender.address, "first", "warm", 1)?;
    for server in servers.iter_mut() {
        server.command::<()>(&["CONFIG", "RESETSTAT"])?;
    }
    let own = || contender.process.as_ref().map_or(0.0, |process| process.cpu());
    let cpu = |servers: &[Redis]| servers.iter().map(|server| server.process.cpu()).sum::<f64>();
    let before = (cpu(servers), own());
    let load = load_over(case.connections, contender.address, "first", "run", seconds)?;
    let after = (cpu(servers), own());
    let mut commands = Vec::new();
    for server in servers.iter_mut() {
        commands.push(server.ran(kind.commands())? as f64);
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
