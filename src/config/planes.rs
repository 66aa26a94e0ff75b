//! Where the two planes listen, and where UPSTREAM must not lead: back to one of them.

use super::read::Problem;
use hyper::http::uri::Authority;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const LOOPBACK: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// An address to listen on.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "expected an address and port such as 127.0.0.1:8080".into())
}

/// An address as it is asked on this machine: by loopback where it is every address.
pub(super) fn nearby(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(asked(address.ip()), address.port())
}

/// Sees that each plane has a port of its own.
pub(super) fn check_ports(data: SocketAddr, admin: SocketAddr, problems: &mut Vec<Problem>) {
    if overlap(data, admin) {
        let what = format!("shares {data} with ONCEWARD_LISTEN; each plane needs its own port");
        problems.push(Problem { at: "ONCEWARD_ADMIN_LISTEN".into(), what });
    }
}

/// Sees that upstream is neither plane: payments would go round in circles, or callers reach the
/// admin plane as somebody on this machine. A name other than `localhost` may be anybody's.
pub(super) fn check_upstream(
    upstream: &str,
    planes: [(&str, Option<SocketAddr>); 2],
    problems: &mut Vec<Problem>,
) {
    let Ok(authority) = upstream.parse::<Authority>() else {
        return;
    };
    let targets = addresses(authority.host());
    for (variable, plane) in planes {
        let Some(plane) = plane.filter(|plane| Some(plane.port()) == authority.port_u16()) else {
            continue;
        };
        if targets.iter().any(|target| reaches(*target, plane.ip())) {
            let what = format!(
                "{upstream} is this sidecar's own {variable}, {plane}; expected the payment service"
            );
            problems.push(Problem { at: "ONCEWARD_UPSTREAM".into(), what });
        }
    }
}

/// Where a host surely is.
fn addresses(host: &str) -> Vec<IpAddr> {
    if host.eq_ignore_ascii_case("localhost") {
        return LOOPBACK.into();
    }
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    address.parse::<IpAddr>().map(|ip| asked(ip.to_canonical())).into_iter().collect()
}

/// Whether who connects to an address of this machine finds a listener there.
fn reaches(target: IpAddr, listener: IpAddr) -> bool {
    let listener = listener.to_canonical();
    target == listener || (target.is_loopback() && is_every(listener, target))
}

/// An address that is asked for none in particular leads to loopback.
fn asked(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) if ip.is_unspecified() => LOOPBACK[0],
        IpAddr::V6(ip) if ip.is_unspecified() => LOOPBACK[1],
        ip => ip,
    }
}

/// Whether one connection could reach both.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let (a, b) = (one.ip().to_canonical(), other.ip().to_canonical());
    one.port() != 0 && one.port() == other.port() && (a == b || is_every(a, b) || is_every(b, a))
}

/// Whether an address stands for all there are, that one among them. Every IPv4 address is one of
/// `[::]` as well.
fn is_every(ip: IpAddr, of: IpAddr) -> bool {
    ip.is_unspecified() && (ip.is_ipv6() || of.is_ipv4())
}
