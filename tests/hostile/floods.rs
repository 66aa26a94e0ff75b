//! Memory does not grow with what is thrown at us.

use super::wire::{MIB, Wire, guarded, memory};
use crate::support::redis::Redis;
use crate::support::upstream::Upstream;

#[test]
fn large_heads_and_large_promises_fit_in_little_memory() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = guarded(&redis, &upstream).start();
    let before = memory(&onceward, "VmRSS");
    let mut wires: Vec<_> = (0..264).map(|_| Wire::open(onceward.address)).collect();
    let (heads, bodies) = wires.split_at_mut(200);
    // 60 KiB each, without the end.
    let line = format!("X: {}\r\n", "y".repeat(1020 - 5));
    let head = format!("GET /open HTTP/1.1\r\nHost: pay.test\r\n{}", line.repeat(59));
    for wire in heads.iter_mut() {
        assert!(wire.send(head.as_bytes()));
    }
    let lengths =
        ["Content-Length: 1073741824\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n40000000\r\n"];
    for (index, wire) in bodies.iter_mut().enumerate() {
        let line = "POST /pay HTTP/1.1\r\nHost: pay.test\r\nIdempotency-Key: k\r\n";
        let some = "x".repeat(256 * 1024);
        wire.send_behind(format!("{line}{}{some}", lengths[index % 2]).as_bytes());
    }
    for wire in bodies {
        assert_eq!(wire.reply().expect("an answer").status, 413);
        assert_eq!(wire.end(), Ok(()));
    }
    // An answer proves that all of the head was held.
    for wire in heads.iter_mut() {
        assert!(wire.send(b"\r\n"));
    }
    for wire in heads {
        assert_eq!(wire.reply().expect("an answer").status, 200);
    }
    let grown = memory(&onceward, "VmHWM").saturating_sub(before);
    // Of 64 GiB that were promised; a sidecar that was stopped meanwhile reads much at once.
    assert!(grown < 128 * MIB, "{} MiB more", grown / MIB);
    assert_eq!(upstream.calls(), 200);
}
