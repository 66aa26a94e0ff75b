//! What is not protected streams through: not held in memory, not told to Redis.

use super::wire::{MIB, Wire, guarded, memory};
use crate::support::redis::Redis;
use crate::support::sidecar::Sidecar;
use crate::support::upstream::Upstream;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

/// What goes through in each direction.
const SIZE: u64 = 256 * MIB;

/// Bytes of a piece, and of a chunk.
const PIECE: usize = 64 * 1024;

/// What a sidecar in front of `service` grew by, at most, while `client` spoke to it.
fn grown_while(service: fn(TcpStream), client: fn(&mut Wire)) -> u64 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || service(stream));
        }
    });
    let (redis, nobody) = (Redis::start(), Upstream::start());
    let onceward: Sidecar =
        guarded(&redis, &nobody).set("UPSTREAM", &format!("http://{address}")).start();
    let before = memory(&onceward, "VmRSS");
    client(&mut Wire::open(onceward.address));
    for command in ["claim", "settle"] {
        let name = format!("onceward_redis_duration_seconds_count{{command=\"{command}\"}}");
        assert_eq!(onceward.metric(&name), 0.0);
    }
    memory(&onceward, "VmHWM").saturating_sub(before)
}

/// Reads a head and returns whether a body in chunks follows it.
fn read_head(reader: &mut impl BufRead) -> bool {
    let mut chunked = false;
    for line in reader.lines().map_while(Result::ok) {
        chunked |= line.eq_ignore_ascii_case("transfer-encoding: chunked");
        if line.is_empty() {
            break;
        }
    }
    chunked
}

fn read_length(reader: &mut impl Read, length: u64) {
    let read = std::io::copy(&mut reader.take(length), &mut std::io::sink());
    assert_eq!(read.expect("a body"), length);
}

fn read_chunks(reader: &mut impl BufRead) -> u64 {
    let mut total = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a chunk");
        let size = u64::from_str_radix(line.trim_end(), 16).expect("a size");
        read_length(reader, size + 2);
        if size == 0 {
            return total;
        }
        total += size;
    }
}

fn write_length(stream: &mut impl Write) {
    let piece = vec![b'x'; PIECE];
    for _ in 0..SIZE / PIECE as u64 {
        stream.write_all(&piece).expect("taken");
    }
}

fn write_chunks(stream: &mut impl Write) {
    let chunk = [format!("{PIECE:x}\r\n").as_bytes(), &[b'x'; PIECE], b"\r\n"].concat();
    for _ in 0..SIZE / PIECE as u64 {
        stream.write_all(&chunk).expect("taken");
    }
    stream.write_all(b"0\r\n\r\n").expect("taken");
}

/// Takes a body and answers when it has all of it.
fn takes(mut stream: TcpStream) {
    let mut reader = BufReader::with_capacity(PIECE, stream.try_clone().expect("a socket"));
    match read_head(&mut reader) {
        true => assert_eq!(read_chunks(&mut reader), SIZE),
        false => read_length(&mut reader, SIZE),
    }
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
}

/// Takes a head and answers in chunks.
fn gives_chunks(mut stream: TcpStream) {
    read_head(&mut BufReader::new(stream.try_clone().expect("a socket")));
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    write_chunks(&mut stream);
}

/// Takes a head and answers with an announced length.
fn gives_length(mut stream: TcpStream) {
    read_head(&mut BufReader::new(stream.try_clone().expect("a socket")));
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n");
    let _ = stream.write_all(head.as_bytes());
    write_length(&mut stream);
}

/// Far less than what goes through.
fn check(service: fn(TcpStream), client: fn(&mut Wire)) {
    let grown = grown_while(service, client);
    assert!(grown < 16 * MIB, "{} MiB more", grown / MIB);
}

#[test]
fn a_request_of_known_length_streams_through() {
    check(takes, |wire| {
        let head =
            format!("POST /open HTTP/1.1\r\nHost: pay.test\r\nContent-Length: {SIZE}\r\n\r\n");
        wire.send(head.as_bytes());
        write_length(&mut wire.stream);
        assert_eq!(wire.reply().expect("an answer").text(), "ok");
    });
}

#[test]
fn a_request_in_chunks_streams_through() {
    check(takes, |wire| {
        wire.send(b"POST /open HTTP/1.1\r\nHost: pay.test\r\nTransfer-Encoding: chunked\r\n\r\n");
        write_chunks(&mut wire.stream);
        assert_eq!(wire.reply().expect("an answer").text(), "ok");
    });
}

#[test]
fn an_answer_of_known_length_streams_through() {
    check(gives_length, |wire| {
        wire.send(b"GET /open HTTP/1.1\r\nHost: pay.test\r\n\r\n");
        let mut reader =
            BufReader::with_capacity(PIECE, wire.stream.try_clone().expect("a socket"));
        assert!(!read_head(&mut reader));
        read_length(&mut reader, SIZE);
    });
}

#[test]
fn an_answer_in_chunks_streams_through() {
    check(gives_chunks, |wire| {
        wire.send(b"GET /open HTTP/1.1\r\nHost: pay.test\r\n\r\n");
        let mut reader =
            BufReader::with_capacity(PIECE, wire.stream.try_clone().expect("a socket"));
        assert!(read_head(&mut reader));
        assert_eq!(read_chunks(&mut reader), SIZE);
    });
}
