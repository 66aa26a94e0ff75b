//! `onceward dev`: everything on one machine, and nothing of it left behind.

use crate::support::client::{Call, Reply};
use crate::support::sidecar::ONCEWARD;
use crate::support::{PATIENCE, signal, until};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;
use tempfile::TempDir;

/// A running `onceward dev` on free ports.
struct Dev {
    child: Child,
    events: Receiver<Value>,
    address: SocketAddr,
    sidecar: u32,
    redis: u32,
    ledger: PathBuf,
    /// Its own folder for temporary things.
    temporary: TempDir,
}

fn command(temporary: &TempDir) -> Command {
    let mut command = Command::new(ONCEWARD);
    command
        .arg("dev")
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("TMPDIR", temporary.path())
        .env("ONCEWARD_LISTEN", "127.0.0.1:0")
        .env("ONCEWARD_ADMIN_LISTEN", "127.0.0.1:0")
        .env("ONCEWARD_LOG", "error")
        .stdout(Stdio::piped());
    command
}

impl Dev {
    fn start() -> Dev {
        let temporary = tempfile::tempdir().unwrap();
        let mut child = command(&temporary).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (sender, events) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Ok(event @ Value::Object(_)) = serde_json::from_str(&line) {
                    let _ = sender.send(event);
                }
            }
        });
        let ready = events.recv_timeout(PATIENCE).expect("it becomes ready");
        assert_eq!(ready["dev"], "ready");
        let url = ready["url"].as_str().unwrap();
        Dev {
            child,
            events,
            address: url.strip_prefix("http://").unwrap().parse().unwrap(),
            sidecar: pid(&ready["sidecar_pid"]),
            redis: pid(&ready["redis_pid"]),
            ledger: ready["ledger"].as_str().unwrap().into(),
            temporary,
        }
    }

    fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        until("onceward dev ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    fn pay(&self, order: &str) -> Reply {
        Call::post("/order/pay")
            .json(&format!(r#"{{"orderId":"{order}","amount":"9.90"}}"#))
            .send(self.address)
    }

    fn leaves_nobody_behind(&self) {
        until("its redis-server is gone", || !lives(self.redis));
        until("its sidecar is gone", || !lives(self.sidecar));
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // Its children go with it: that is what these tests are about.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn pid(value: &Value) -> u32 {
    value.as_u64().unwrap().try_into().unwrap()
}

/// Whether a process runs; one that only waits to be counted as dead does not.
fn lives(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        let state = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        !state.starts_with(['Z', 'X'])
    })
}

#[test]
fn an_order_is_created_and_polled_until_it_is_paid() {
    let dev = Dev::start();
    let wish = r#"{"goodsId":"102030","userId":"6666","num":10,"amount":100}"#;
    let created = Call::post("/order/create").json(wish).send(dev.address);
    assert_eq!(created.status, 200);
    let data = &created.json()["data"];
    let poll = format!("/order/get_result?orderId={}", data["order"].as_str().unwrap());
    until("the order is paid", || {
        let result = Call::get(&poll).send(dev.address);
        assert_eq!(result.status, 200);
        result.json()["status"] == 1
    });
}

#[test]
fn a_payment_and_its_duplicate_are_one_line_in_the_ledger_and_so_is_a_refund() {
    let dev = Dev::start();
    let (first, again) = (dev.pay("2024-0001"), dev.pay("2024-0001"));
    assert_eq!((first.status, first.is_replay()), (200, false));
    assert_eq!((again.status, again.is_replay()), (200, true));
    assert_eq!(first.body, again.body);

    let refund = Call::post("/order/refund")
        .json(r#"{"orderId":"2024-0001","refundId":"R1","amount":"9.90"}"#);
    let (first, again) = (refund.send(dev.address), refund.send(dev.address));
    assert_eq!((first.status, first.is_replay()), (200, false));
    assert_eq!((again.status, again.is_replay()), (200, true));

    let ledger = onceward::sandbox::ledger::read(&dev.ledger).unwrap();
    assert_eq!((ledger.charges("2024-0001"), ledger.refunds("2024-0001")), (1, 1));
}

#[test]
fn a_callback_of_the_sandbox_comes_back_to_it_through_the_sidecar_once() {
    let dev = Dev::start();
    let repeating = r#"{"orderId":"2024-0001","amount":"9.90","authCode":"notify-repeat"}"#;
    assert_eq!(Call::post("/order/pay").json(repeating).send(dev.address).status, 200);
    let heard = || Call::get("/notifications?orderId=2024-0001").send(dev.address).json();
    until("it is heard", || heard().as_array().is_some_and(|heard| !heard.is_empty()));
    let event = r#"{"orderId":"2024-0001","tradeStatus":"SUCCESS","amount":"9.90"}"#;
    let mut again = None;
    until("a copy is acknowledged from the record", || {
        let reply = Call::post("/notify").json(event).send(dev.address);
        let done = (reply.status, reply.is_replay()) == (200, true);
        again = Some(reply.text());
        done
    });
    assert_eq!(again.as_deref(), Some("success"));
    let heard = heard();
    assert_eq!((heard.as_array().unwrap().len(), &heard[0]["tradeStatus"]), (1, &"SUCCESS".into()));
}

#[test]
fn a_killed_sidecar_is_started_again_on_its_port() {
    let dev = Dev::start();
    let first = dev.pay("2024-0001");
    signal(dev.sidecar, "KILL");
    let restarted = dev.events.recv_timeout(PATIENCE).expect("it says so");
    assert_eq!(restarted["dev"], "sidecar restarted");
    let sidecar = pid(&restarted["sidecar_pid"]);
    assert!(sidecar != dev.sidecar && lives(sidecar) && !lives(dev.sidecar));
    let again = dev.pay("2024-0001");
    assert!(again.is_replay());
    assert_eq!(again.body, first.body);
}

#[test]
fn without_its_redis_it_ends() {
    let mut dev = Dev::start();
    signal(dev.redis, "KILL");
    assert_eq!(dev.ended().code(), Some(1));
    dev.leaves_nobody_behind();
}

#[test]
fn sigterm_lets_a_payment_in_hand_finish_and_leaves_nothing_behind() {
    let mut dev = Dev::start();
    let slow = r#"{"orderId":"2024-0001","amount":"9.90","authCode":"slow-1000"}"#;
    let paying = Call::post("/order/pay").json(slow).spawn(dev.address);
    until("it is charged", || {
        let ledger = onceward::sandbox::ledger::read(&dev.ledger);
        ledger.is_ok_and(|ledger| ledger.charges("2024-0001") == 1)
    });
    signal(dev.child.id(), "TERM");
    let paid = paying.join().unwrap();
    assert_eq!((paid.status, paid.state()), (200, "succeeded"));
    assert_eq!(dev.ended().code(), Some(0));
    assert!(!lives(dev.redis) && !lives(dev.sidecar));
    assert_eq!(dev.temporary.path().read_dir().unwrap().count(), 0);
}

#[test]
fn kill_9_leaves_nobody_behind() {
    let mut dev = Dev::start();
    signal(dev.child.id(), "KILL");
    dev.ended();
    dev.leaves_nobody_behind();
}

#[test]
fn two_on_one_port_are_told_apart() {
    let dev = Dev::start();
    let temporary = tempfile::tempdir().unwrap();
    let started = Instant::now();
    let second = command(&temporary)
        .env("ONCEWARD_LISTEN", dev.address.to_string())
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert!(started.elapsed() < PATIENCE);
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains(&dev.address.to_string()), "{said}");
}

#[test]
fn a_bad_variable_is_named_before_anything_starts() {
    let temporary = tempfile::tempdir().unwrap();
    let output = command(&temporary)
        .env("ONCEWARD_LOCK_TTL", "soon")
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(64));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("ONCEWARD_LOCK_TTL"), "{said}");
}

#[test]
fn without_redis_server_it_says_how_to_install_it() {
    let temporary = tempfile::tempdir().unwrap();
    let output =
        command(&temporary).env("PATH", temporary.path()).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("apt-get install redis-server"), "{said}");
}
