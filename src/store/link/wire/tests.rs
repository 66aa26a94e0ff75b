//! The wire, and a server at its other end that says what it is told to.

use super::task::LONG_READ;
use super::*;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

/// A wire, and the server at its other end.
fn wired() -> (Wire, DuplexStream) {
    let (here, there) = duplex(1024);
    (Wire::over(here), there)
}

async fn hears(server: &mut DuplexStream, expect: &str) {
    let mut heard = vec![0; expect.len()];
    server.read_exact(&mut heard).await.unwrap();
    assert_eq!(String::from_utf8(heard).unwrap(), expect);
}

/// Sends with all the patience there is.
async fn send(wire: &Wire, command: &Cmd, asking: bool) -> RedisResult<Value> {
    let until = Instant::now() + Duration::from_secs(60);
    wire.send(command, asking, until).await.map_err(|silence| match silence {
        Silence::Late => io::Error::from(io::ErrorKind::TimedOut).into(),
        Silence::Broken(error) => error,
    })
}

const PING: &str = "*1\r\n$4\r\nPING\r\n";
const ASKING: &str = "*1\r\n$6\r\nASKING\r\n";

#[tokio::test]
async fn replies_go_to_those_who_asked_in_the_order_of_their_commands() {
    let (wire, mut server) = wired();
    let ping = redis::cmd("PING");
    let asked = async {
        tokio::join!(send(&wire, &ping, false), send(&wire, &ping, true), send(&wire, &ping, false))
    };
    let serving = async {
        hears(&mut server, &[PING, ASKING, PING, PING].concat()).await;
        server.write_all(b":1\r\n+OK\r\n:2\r\n:3\r\n").await.unwrap();
    };
    let ((first, second, third), ()) = tokio::join!(asked, serving);
    let said = [first, second, third].map(|value| value.unwrap());
    assert_eq!(said, [1, 2, 3].map(Value::Int));
}

#[tokio::test]
async fn the_reply_to_one_who_left_is_nobody_elses() {
    let (wire, mut server) = wired();
    let ping = redis::cmd("PING");
    let leaves = send(&wire, &ping, false);
    assert!(futures_util::FutureExt::now_or_never(leaves).is_none());
    let serving = async {
        hears(&mut server, &[PING, PING].concat()).await;
        server.write_all(b":1\r\n:2\r\n").await.unwrap();
    };
    let (said, ()) = tokio::join!(send(&wire, &ping, false), serving);
    assert_eq!(said.unwrap(), Value::Int(2));
}

#[tokio::test]
async fn once_it_broke_all_who_wait_are_told_and_nothing_more_is_sent() {
    let ping = redis::cmd("PING");
    for last_words in [&b""[..], b"+not what\n", b":1\r\n:2\r\n:3\r\n"] {
        let (wire, mut server) = wired();
        let asked = async { tokio::join!(send(&wire, &ping, false), send(&wire, &ping, false)) };
        let serving = async {
            hears(&mut server, &[PING, PING].concat()).await;
            server.write_all(last_words).await.unwrap();
            server.shutdown().await.unwrap();
        };
        let ((first, second), ()) = tokio::join!(asked, serving);
        let replies = last_words.starts_with(b":");
        assert_eq!([first.is_ok(), second.is_ok()], [replies, replies]);
        while wire.is_open() {
            tokio::task::yield_now().await;
        }
        assert!(send(&wire, &ping, false).await.unwrap_err().is_io_error());
        assert_eq!(server.read(&mut [0; 1]).await.unwrap(), 0, "the stream is closed");
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_too_long_is_told_and_the_late_reply_is_nobody_elses() {
    let (wire, mut server) = wired();
    let ping = redis::cmd("PING");
    let begun = Instant::now();
    let (long, short) = (begun + Duration::from_secs(2), begun + Duration::from_secs(1));
    let asked =
        async { tokio::join!(wire.send(&ping, false, long), wire.send(&ping, true, short)) };
    let serving = async {
        hears(&mut server, &[PING, ASKING, PING].concat()).await;
        tokio::time::sleep(Duration::from_millis(1500)).await;
        server.write_all(b":1\r\n+OK\r\n").await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        server.write_all(b":2\r\n").await.unwrap();
    };
    let ((first, second), ()) = tokio::join!(asked, serving);
    assert!(matches!(first, Ok(Value::Int(1))));
    assert!(matches!(second, Err(Silence::Late)));
    let serving = async {
        hears(&mut server, PING).await;
        server.write_all(b":3\r\n").await.unwrap();
    };
    let (third, ()) = tokio::join!(send(&wire, &ping, false), serving);
    assert_eq!(third.unwrap(), Value::Int(3));
    // One who comes after the others have gone is held to its time as well.
    let begun = Instant::now();
    let late = wire.send(&ping, false, begun + Duration::from_millis(100)).await;
    assert!(matches!(late, Err(Silence::Late)));
    assert!(begun.elapsed() < Duration::from_secs(1));
}

/// A connection is served on the thread it was made on, which may end while others use it.
#[test]
fn who_waits_is_told_when_the_thread_of_the_connection_ends() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (here, there) = (runtime(), runtime());
    let (wire, _server) = {
        let _entered = there.enter();
        wired()
    };
    here.block_on(async {
        let ping = redis::cmd("PING");
        let ending = async { there.shutdown_background() };
        let until = Instant::now() + Duration::from_secs(60);
        let asked = async { tokio::join!(wire.send(&ping, false, until), ending) };
        let (told, ()) = tokio::time::timeout(Duration::from_secs(30), asked).await.unwrap();
        assert!(matches!(told, Err(Silence::Broken(_))));
        assert!(!wire.is_open());
    });
}

#[tokio::test]
async fn a_reply_longer_than_any_buffer_comes_whole() {
    let (wire, mut server) = wired();
    let long = vec![b'x'; 3 * LONG_READ];
    let get = redis::cmd("GET").arg(&long).to_owned();
    let serving = async {
        hears(&mut server, &format!("*2\r\n$3\r\nGET\r\n${}\r\n", long.len())).await;
        let mut heard = vec![0; long.len() + 2];
        server.read_exact(&mut heard).await.unwrap();
        let head = format!("*2\r\n${}\r\n", long.len());
        server.write_all(head.as_bytes()).await.unwrap();
        server.write_all(&long).await.unwrap();
        server.write_all(b"\r\n$2\r\nok\r\n").await.unwrap();
    };
    let (said, ()) = tokio::join!(send(&wire, &get, false), serving);
    let expect = [long.clone(), b"ok".to_vec()].map(Value::BulkString);
    assert_eq!(said.unwrap(), Value::Array(expect.into()));
}

#[tokio::test]
async fn it_is_closed_when_nobody_has_it_any_more() {
    let (wire, mut server) = wired();
    let other = wire.clone();
    drop(wire);
    assert!(other.is_open());
    drop(other);
    assert_eq!(server.read(&mut [0; 1]).await.unwrap(), 0);
}

#[test]
fn a_command_is_packed_as_the_library_packs_it() {
    for length in [0, 1, 9, 10, 99, 100, 12345] {
        let mut command = redis::cmd("SET");
        command.arg("key").arg("x".repeat(length)).arg(7).arg(b"\r\n").cursor_arg(0);
        let mut packed = b"before".to_vec();
        pack(&command, &mut packed);
        assert_eq!(packed, [b"before", command.get_packed_command().as_slice()].concat());
    }
}
