//! As much of Redis' protocol and of HTTP/1.1 as a gate must read.

use std::io::BufRead;

/// An answer of Redis': its bytes as they came, and its words one after the other.
#[derive(Clone, Debug)]
pub struct Reply {
    pub raw: Vec<u8>,
    pub words: Vec<String>,
}

/// A command as it goes over the wire.
pub fn command<W: AsRef<[u8]>>(words: &[W]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        let word = word.as_ref();
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// Takes a whole command off the front of what was read so far, once all of it is there.
pub fn take_command(read: &mut Vec<u8>) -> Option<Vec<Vec<u8>>> {
    let mut at = 0;
    let count = number(read, &mut at, b'*')?;
    let mut words = Vec::with_capacity(count);
    for _ in 0..count {
        let length = number(read, &mut at, b'$')?;
        words.push(read.get(at..at + length)?.to_vec());
        at += length + 2;
    }
    (at <= read.len()).then(|| {
        read.drain(..at);
        words
    })
}

/// `<mark><digits>\r\n`
fn number(read: &[u8], at: &mut usize, mark: u8) -> Option<usize> {
    let end = *at + read.get(*at..)?.windows(2).position(|two| two == b"\r\n")?;
    assert_eq!(read[*at], mark, "a client speaks in arrays of strings");
    let digits = std::str::from_utf8(&read[*at + 1..end]).expect("digits");
    *at = end + 2;
    Some(digits.parse().expect("a number"))
}

/// Reads one answer to its end.
pub fn read_reply(stream: &mut impl BufRead) -> Reply {
    let mut reply = Reply { raw: Vec::new(), words: Vec::new() };
    read_value(stream, &mut reply);
    // A script's reply may be a text of words.
    if reply.raw.starts_with(b"$") {
        reply.words = reply.words[0].split(' ').map(str::to_owned).collect();
    }
    reply
}

fn read_value(stream: &mut impl BufRead, reply: &mut Reply) {
    let start = reply.raw.len();
    stream.read_until(b'\n', &mut reply.raw).expect("redis-server answers");
    let line = String::from_utf8_lossy(&reply.raw[start..]).trim_end().to_owned();
    let (mark, rest) = line.split_at_checked(1).expect("redis-server answers");
    match mark {
        "$" if rest == "-1" => reply.words.push(String::new()),
        "$" => {
            let start = reply.raw.len();
            let length: usize = rest.parse().expect("a length");
            reply.raw.resize(start + length + 2, 0);
            stream.read_exact(&mut reply.raw[start..]).expect("redis-server answers");
            let text = String::from_utf8_lossy(&reply.raw[start..start + length]);
            reply.words.push(text.into_owned());
        }
        "*" => {
            for _ in 0..rest.parse::<usize>().expect("a count") {
                read_value(stream, reply);
            }
        }
        "-" => reply.words.push(line),
        _ => reply.words.push(rest.to_owned()),
    }
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub fence: Option<u64>,
}

/// Takes a whole request off the front of what was read so far, once all of it is there.
pub fn take_request(read: &mut Vec<u8>) -> Option<Request> {
    let head = read.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&read[..head]).to_ascii_lowercase();
    let header =
        |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    let length: u64 = header("content-length:").unwrap_or(0);
    let end = head + usize::try_from(length).expect("a length");
    if read.len() < end {
        return None;
    }
    let fence = header("onceward-fence:");
    let mut words = text.split(' ');
    let mut word = || words.next().expect("a request line").to_owned();
    let (method, path) = (word(), word());
    read.drain(..end);
    Some(Request { method, path, fence })
}

/// An answer of the payment service's.
pub fn answer(status: u16, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 {status} Whatever\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}
