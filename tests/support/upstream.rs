//! A payment service that does what a test tells it, over real sockets, and remembers every call.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// What to do with a request.
#[derive(Clone, Debug)]
pub enum Act {
    /// Answer: status, header lines, body; keep the connection.
    Answer(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// Write these bytes, then close.
    Bytes(Vec<u8>),
    /// Reset the connection.
    Reset,
    /// Say nothing for ever.
    Silence,
    /// Change protocols, and send back whatever comes.
    Echo,
    /// First wait, then act.
    After(Duration, Box<Act>),
    /// First wait until the test opens the gate, then act.
    Gate(Gate, Box<Act>),
}

impl Act {
    pub fn ok(body: &str) -> Act {
        Act::status(200, body)
    }

    pub fn status(status: u16, body: &str) -> Act {
        let json = ("Content-Type", "application/json".to_owned());
        Act::Answer(status, vec![json], body.as_bytes().to_vec())
    }

    pub fn with(mut self, name: &'static str, value: &str) -> Act {
        if let Act::Answer(_, headers, _) = &mut self {
            headers.push((name, value.to_owned()));
        }
        self
    }

    pub fn after(self, delay: Duration) -> Act {
        Act::After(delay, Box::new(self))
    }

    pub fn behind(self, gate: &Gate) -> Act {
        Act::Gate(gate.clone(), Box::new(self))
    }
}

/// Holds acts back until it is opened.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub fn open(&self) {
        *self.0.0.lock().expect("no panic inside") = true;
        self.0.1.notify_all();
    }

    pub fn pass(&self) {
        let mut open = self.0.0.lock().expect("no panic inside");
        while !*open {
            open = self.0.1.wait(open).expect("no panic inside");
        }
    }
}

/// The running service.
pub struct Upstream {
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    connections: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
}

impl Upstream {
    /// Answers 200 with a body that tells the calls apart.
    pub fn start() -> Upstream {
        Upstream::acting(|call, _| Act::ok(&format!(r#"{{"paid":true,"call":{call}}}"#)))
    }

    /// Does what `act` says; it is told the call's number, from 1, and the request.
    pub fn acting(act: impl Fn(usize, &Request) -> Act + Send + Sync + 'static) -> Upstream {
        Upstream::on(TcpListener::bind("127.0.0.1:0").expect("a free port"), act)
    }

    /// The same on a socket of the test's choice.
    pub fn on(
        listener: TcpListener,
        act: impl Fn(usize, &Request) -> Act + Send + Sync + 'static,
    ) -> Upstream {
        let address = listener.local_addr().expect("its address");
        let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
        let over = Arc::new(AtomicBool::new(false));
        let act = Arc::new(act);
        let connections = Arc::new(AtomicUsize::new(0));
        let (heard, stop, count) = (requests.clone(), over.clone(), connections.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                count.fetch_add(1, Ordering::SeqCst);
                let (heard, act) = (heard.clone(), act.clone());
                std::thread::spawn(move || serve(stream, &heard, &*act));
            }
        });
        Upstream { address, requests, connections, over }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every request so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("no panic inside").clone()
    }

    pub fn calls(&self) -> usize {
        self.requests.lock().expect("no panic inside").len()
    }

    /// How many connections were made to it.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Waits until so many requests arrived.
    pub fn heard(&self, calls: usize) {
        super::until(&format!("upstream hears call {calls}"), || self.calls() >= calls);
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(
    stream: TcpStream,
    heard: &Mutex<Vec<Request>>,
    act: &(dyn Fn(usize, &Request) -> Act + Send + Sync),
) {
    let mut reader = BufReader::new(stream.try_clone().expect("a socket"));
    while let Some(request) = read(&mut reader) {
        let call = {
            let mut heard = heard.lock().expect("no panic inside");
            heard.push(request.clone());
            heard.len()
        };
        if !perform(act(call, &request), &stream) {
            return;
        }
    }
}

/// Whether the connection goes on.
fn perform(act: Act, mut stream: &TcpStream) -> bool {
    match act {
        Act::Answer(status, headers, body) => {
            let mut text =
                format!("HTTP/1.1 {status} Whatever\r\nContent-Length: {}\r\n", body.len());
            for (name, value) in headers {
                text += &format!("{name}: {value}\r\n");
            }
            if status == 204 {
                text = text.replace("Content-Length: 0\r\n", "");
            }
            stream.write_all(&[text.as_bytes(), b"\r\n", &body].concat()).is_ok()
        }
        Act::Bytes(bytes) => {
            let _ = stream.write_all(&bytes);
            let _ = stream.shutdown(Shutdown::Both);
            false
        }
        Act::Reset => {
            // Unread or not, what is in flight is dropped and the peer sees RST.
            let socket = socket2::SockRef::from(stream);
            let _ = socket.set_linger(Some(Duration::ZERO));
            false
        }
        Act::Silence => {
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest);
            false
        }
        Act::Echo => {
            let switch =
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
            let _ = stream.write_all(switch);
            let mut bytes = [0; 1024];
            while let Ok(count @ 1..) = stream.read(&mut bytes) {
                let _ = stream.write_all(&bytes[..count]);
            }
            false
        }
        Act::After(delay, act) => {
            std::thread::sleep(delay);
            perform(*act, stream)
        }
        Act::Gate(gate, act) => {
            gate.pass();
            perform(*act, stream)
        }
    }
}

fn read(stream: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    stream.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers: Vec<(String, String)> = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        // A head that is cut off is none, wherever it is.
        let line = line.strip_suffix('\n')?.trim_end();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let header = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
    let mut body = Vec::new();
    if let Some(length) = header("content-length") {
        body.resize(length.parse().ok()?, 0);
        stream.read_exact(&mut body).ok()?;
    } else if header("transfer-encoding").is_some() {
        body = super::read_chunks(stream)?;
    }
    Some(Request { method, target, headers, body })
}
