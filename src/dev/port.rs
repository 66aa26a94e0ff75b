//! A port that stays ours while the sidecar on it comes and goes.

use super::DevError;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

/// A bound socket that never listens: connections are refused while no sidecar is there.
pub(super) struct Port {
    _held: Socket,
    /// What the sidecar is to listen on; port 0 has become a real one.
    pub(super) address: SocketAddr,
}

impl Port {
    /// Takes the address, or fails when somebody listens there.
    pub(super) fn hold(address: SocketAddr) -> Result<Port, DevError> {
        hold(address).map_err(|error| DevError::Port(address, error))
    }

    /// Where a client on this machine finds it.
    pub(super) fn reachable(&self) -> SocketAddr {
        let ip = match self.address.ip() {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        SocketAddr::new(ip, self.address.port())
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.reachable())
    }
}

fn hold(address: SocketAddr) -> io::Result<Port> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    // Connections of a run before this one may still be closing.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    // Sidecars share their port among their threads. With this option already set the bind would
    // have shared it with a stranger, so it is set afterwards: now they may share it with us.
    socket.set_reuse_port(true)?;
    let address = socket
        .local_addr()?
        .as_socket()
        .ok_or_else(|| io::Error::other("no address of this family"))?;
    Ok(Port { _held: socket, address })
}

/// A port of this machine's own that nobody has at the moment; somebody may take it any time.
pub(super) fn free() -> io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_held_port_serves_sidecars_and_nobody_else() {
        let port = Port::hold("127.0.0.1:0".parse().unwrap()).unwrap();
        let sidecar = crate::serve::bind(port.address, 2).unwrap();
        assert!(std::net::TcpStream::connect(port.address).is_ok());
        assert!(matches!(Port::hold(port.address), Err(DevError::Port(..))));
        drop(sidecar);
        // A process that another test was just starting may hold a copy for a moment.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while std::net::TcpStream::connect(port.address).is_ok() {
            assert!(std::time::Instant::now() < deadline, "somebody else listens there");
        }
        assert!(crate::serve::bind(port.address, 2).is_ok());
    }

    #[test]
    fn every_interface_is_reached_through_loopback() {
        let port = Port::hold("0.0.0.0:0".parse().unwrap()).unwrap();
        let number = port.address.port();
        assert_eq!(port.url(), format!("http://127.0.0.1:{number}"));
    }
}
