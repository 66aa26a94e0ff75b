//! The sandbox over a real socket.
#![allow(clippy::unwrap_used, reason = "a test may end in a panic")]

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    HeaderMap, Request, Response, StatusCode, body::Incoming, client, server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use super::*;

/// Longer than anything here takes; reached only by a failing test.
const PATIENCE: Duration = Duration::from_secs(10);

/// An ordinary auth code, as a shopper's telephone shows it: pays at once.
const SHOPPERS_CODE: &str = "134567890123456789";

struct Sandbox {
    address: SocketAddr,
    config: Config,
    stop: CancellationToken,
    end: JoinHandle<io::Result<()>>,
    folder: tempfile::TempDir,
}

async fn sandbox() -> Sandbox {
    sandbox_with(|_| {}).await
}

async fn sandbox_with(adapt: impl FnOnce(&mut Config)) -> Sandbox {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::new(folder.path().join("ledger"));
    adapt(&mut config);
    start(config, folder).await
}

async fn start(config: Config, folder: tempfile::TempDir) -> Sandbox {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let end = tokio::spawn(run(listener, config.clone(), stop.clone()));
    Sandbox { address, config, stop, end, folder }
}

struct Seen {
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
}

type Sender = client::conn::http1::SendRequest<Full<Bytes>>;

impl Sandbox {
    async fn connect(&self) -> Sender {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (sender, connection) =
            client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        sender
    }

    async fn call(&self, request: Request<Full<Bytes>>) -> hyper::Result<Seen> {
        send(&mut self.connect().await, request).await
    }

    async fn get(&self, path: &str) -> Seen {
        let request = Request::get(path).body(Full::default()).unwrap();
        self.call(request).await.unwrap()
    }

    async fn post(&self, path: &str, body: Value) -> Seen {
        self.call(post(path, &body)).await.unwrap()
    }

    async fn pay(&self, order: &str, code: &str) -> hyper::Result<Seen> {
        self.call(pay(order, code)).await
    }

    /// Sends a payment and hands out the connection with the answer still to come.
    async fn send_raw_payment(&self, order: &str, code: &str) -> TcpStream {
        let body = json!({"orderId": order, "amount": 1, "authCode": code}).to_string();
        let length = body.len();
        let head =
            format!("POST /order/pay HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n");
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all((head + &body).as_bytes()).await.unwrap();
        stream
    }

    async fn create(&self) -> String {
        let body = json!({"goodsId": "g", "userId": 7, "num": 1, "amount": 5});
        let seen = self.post("/order/create", body).await;
        assert_eq!(seen.body["code"], "0000");
        assert!(seen.body["data"]["locator"].is_string());
        seen.body["data"]["order"].as_str().unwrap().to_owned()
    }

    async fn status(&self, order: &str) -> Value {
        let seen = self.get(&format!("/order/get_result?orderId={order}")).await;
        assert_eq!(seen.body["status"], seen.body["data"]["status"]);
        seen.body["status"].clone()
    }

    async fn until_status(&self, order: &str, expected: u8) {
        let reached = async {
            while self.status(order).await != expected {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, reached).await.unwrap();
    }

    async fn ledger(&self, order: &str) -> Vec<Value> {
        let seen = self.get(&format!("/ledger?orderId={order}")).await;
        seen.body.as_array().unwrap().clone()
    }

    async fn kinds(&self, order: &str) -> Vec<String> {
        let lines = self.ledger(order).await;
        lines.iter().map(|line| line["kind"].as_str().unwrap().to_owned()).collect()
    }

    async fn until_known(&self, order: &str) {
        let known = async {
            while self.ledger(order).await.is_empty() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, known).await.unwrap();
    }

    async fn stopped(self) -> (Config, tempfile::TempDir) {
        self.stop.cancel();
        timeout(PATIENCE, self.end).await.unwrap().unwrap().unwrap();
        (self.config, self.folder)
    }
}

async fn send(sender: &mut Sender, request: Request<Full<Bytes>>) -> hyper::Result<Seen> {
    let answer = timeout(PATIENCE, sender.send_request(request)).await.unwrap()?;
    let (head, body) = answer.into_parts();
    let body = body.collect().await?.to_bytes();
    let body = serde_json::from_slice(&body).unwrap();
    Ok(Seen { status: head.status, headers: head.headers, body })
}

fn post(path: &str, body: &Value) -> Request<Full<Bytes>> {
    Request::post(path).body(Full::new(Bytes::from(body.to_string()))).unwrap()
}

fn pay(order: &str, code: &str) -> Request<Full<Bytes>> {
    post("/order/pay", &json!({"orderId": order, "amount": "9.90", "authCode": code}))
}

#[tokio::test]
async fn every_payment_charges_and_names_who_asked() {
    let sandbox = sandbox().await;
    let mut request = pay("A", SHOPPERS_CODE);
    request.headers_mut().insert("idempotency-key", "\"A\"".parse().unwrap());
    request.headers_mut().insert("onceward-fence", "7".parse().unwrap());
    let first = sandbox.call(request).await.unwrap();
    let second = sandbox.post("/order/pay", json!({"orderId": "A", "amount": 9.9})).await;

    assert_eq!(first.status, StatusCode::OK);
    assert_eq!(first.body["code"], "0000");
    let data = &first.body["data"];
    assert_eq!((&data["orderId"], &data["status"]), (&json!("A"), &json!(1)));
    assert_eq!(data["amount"], "9.90");
    assert_ne!(data["tradeNo"], second.body["data"]["tradeNo"]);

    let lines = sandbox.ledger("A").await;
    assert_eq!(lines.len(), 2);
    assert_eq!((&lines[0]["key"], &lines[0]["fence"]), (&json!("\"A\""), &json!("7")));
    assert_eq!((&lines[1]["key"], &lines[1]["amount"]), (&Value::Null, &json!(9.9)));
    assert_eq!(lines[0]["tradeNo"], data["tradeNo"]);
    assert_eq!(sandbox.status("A").await, 1);
}

#[tokio::test]
async fn the_shopper_pays_a_created_order() {
    let sandbox = sandbox_with(|config| config.shopper_delay = Duration::from_millis(20)).await;
    let order = sandbox.create().await;
    sandbox.until_status(&order, 1).await;
    assert_eq!(sandbox.kinds(&order).await, ["shopper"]);
}

#[tokio::test]
async fn a_created_order_waits_for_the_shopper() {
    let sandbox = sandbox_with(|config| config.shopper_delay = PATIENCE * 6).await;
    let order = sandbox.create().await;
    assert_eq!(sandbox.status(&order).await, 0);
    assert!(sandbox.ledger(&order).await.is_empty());
    // The timer of a minute does not hold the end up.
    sandbox.stopped().await;
}

#[tokio::test]
async fn still_paying_ends_as_its_code_says() {
    let sandbox = sandbox().await;
    for (code, status, effects) in [("paying-ok-50", 1, 1), ("paying-no-50", 2, 0)] {
        let seen = sandbox.pay(code, code).await.unwrap();
        assert_eq!(seen.status, StatusCode::OK);
        assert_eq!((&seen.body["code"], &seen.body["msg"]), (&json!("0001"), &json!("USERPAYING")));
        assert_eq!(seen.body["data"]["status"], 0);
        sandbox.until_status(code, status).await;
        assert_eq!(sandbox.ledger(code).await.len(), effects);
    }
    sandbox.pay("F", "paying-forever").await.unwrap();
    assert_eq!(sandbox.status("F").await, 0);
    let seen = sandbox.post("/order/cancel", json!({"orderId": "F"})).await;
    assert_eq!((seen.status, &seen.body["data"]["status"]), (StatusCode::OK, &json!(3)));
    assert_eq!(sandbox.status("F").await, 3);
}

#[tokio::test]
async fn a_declined_payment_charges_nothing() {
    let sandbox = sandbox().await;
    for (code, status) in [("declined", 200), ("declined-402", 402)] {
        let seen = sandbox.pay(code, code).await.unwrap();
        assert_eq!((seen.status.as_u16(), &seen.body["code"]), (status, &json!("0051")));
        assert_eq!(seen.body["data"]["status"], 2);
        assert_eq!(sandbox.status(code).await, 2);
        assert!(sandbox.ledger(code).await.is_empty());
    }
}

#[tokio::test]
async fn a_slow_payment_is_charged_before_it_answers() {
    let sandbox = sandbox().await;
    let started = Instant::now();
    let seen = sandbox.pay("A", "slow-100").await.unwrap();
    assert_eq!(seen.body["data"]["status"], 1);
    assert!(started.elapsed() >= Duration::from_millis(100));

    let mut connection = sandbox.connect().await;
    let slow = tokio::spawn(async move { send(&mut connection, pay("B", "slow-60000")).await });
    sandbox.until_known("B").await;
    assert!(!slow.is_finished());
}

#[tokio::test]
async fn a_payment_that_dies_is_charged_and_resets_the_connection() {
    let sandbox = sandbox().await;
    for (code, effects) in [("dies", 1), ("early-reset", 0)] {
        let mut stream = sandbox.send_raw_payment(code, code).await;
        let read = timeout(PATIENCE, stream.read(&mut [0; 64])).await.unwrap();
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(sandbox.ledger(code).await.len(), effects);
    }
}

#[tokio::test]
async fn a_silent_payment_is_charged_and_held_until_the_end() {
    let sandbox = sandbox().await;
    let mut connection = sandbox.connect().await;
    let held = tokio::spawn(async move { send(&mut connection, pay("A", "silent")).await });
    sandbox.until_known("A").await;
    assert_eq!(sandbox.kinds("A").await, ["charge"]);
    assert!(!held.is_finished());
    sandbox.stopped().await;
    assert!(held.await.unwrap().is_err());
}

#[tokio::test]
async fn a_caller_who_hangs_up_is_charged_all_the_same() {
    let sandbox = sandbox().await;
    drop(sandbox.send_raw_payment("A", SHOPPERS_CODE).await);
    sandbox.until_known("A").await;
    assert_eq!(sandbox.kinds("A").await, ["charge"]);
}

#[tokio::test]
async fn failures_before_and_after_the_charge_differ_in_the_ledger() {
    let sandbox = sandbox().await;
    for (code, status, effects) in
        [("error-500", 500, 1), ("early-500", 500, 0), ("busy-429", 429, 0), ("busy-503", 503, 0)]
    {
        let seen = sandbox.pay(code, code).await.unwrap();
        assert_eq!(seen.status.as_u16(), status);
        assert_eq!(seen.headers.contains_key("retry-after"), status == 503, "{code}");
        assert_eq!(sandbox.ledger(code).await.len(), effects, "{code}");
        let known = sandbox.get(&format!("/order/get_result?orderId={code}")).await.status;
        assert_eq!(known == StatusCode::OK, effects == 1, "{code}");
    }
}

#[tokio::test]
async fn a_service_busy_once_takes_the_retry() {
    let sandbox = sandbox().await;
    assert_eq!(sandbox.pay("A", "busy-503-1").await.unwrap().status.as_u16(), 503);
    assert_eq!(sandbox.pay("A", "busy-503-1").await.unwrap().status.as_u16(), 200);
    assert_eq!(sandbox.kinds("A").await, ["charge"]);
}

#[tokio::test]
async fn cancel_before_the_payment_refuses_it() {
    let sandbox = sandbox().await;
    let cancelled = sandbox.post("/order/cancel", json!({"orderId": "A"})).await;
    assert_eq!((cancelled.status, &cancelled.body["code"]), (StatusCode::OK, &json!("0000")));
    let late = sandbox.pay("A", SHOPPERS_CODE).await.unwrap();
    assert_eq!((late.status, &late.body["code"]), (StatusCode::CONFLICT, &json!("0409")));
    assert!(sandbox.ledger("A").await.is_empty());
}

#[tokio::test]
async fn cancelling_a_paid_order_twice_refunds_once() {
    let sandbox = sandbox().await;
    let paid = sandbox.pay("A", SHOPPERS_CODE).await.unwrap();
    let first = sandbox.post("/order/cancel", json!({"orderId": "A"})).await;
    let second = sandbox.post("/order/cancel", json!({"orderId": "A"})).await;
    assert_eq!(first.body, second.body);
    assert_eq!(sandbox.status("A").await, 4);
    let lines = sandbox.ledger("A").await;
    assert_eq!(sandbox.kinds("A").await, ["charge", "refund"]);
    assert_eq!(lines[1]["tradeNo"], paid.body["data"]["tradeNo"]);
}

#[tokio::test]
async fn refunds_are_not_deduplicated_either() {
    let sandbox = sandbox().await;
    let refund = json!({"orderId": "A", "refundId": "R1", "amount": "9.90"});
    assert_eq!(sandbox.post("/order/refund", refund.clone()).await.status, StatusCode::NOT_FOUND);
    sandbox.pay("A", "paying-forever").await.unwrap();
    assert_eq!(sandbox.post("/order/refund", refund.clone()).await.status, StatusCode::CONFLICT);
    sandbox.pay("A", SHOPPERS_CODE).await.unwrap();
    for _ in 0..2 {
        let seen = sandbox.post("/order/refund", refund.clone()).await;
        assert_eq!((seen.status, &seen.body["data"]["refundId"]), (StatusCode::OK, &json!("R1")));
    }
    assert_eq!(sandbox.kinds("A").await, ["charge", "refund", "refund"]);
}

#[tokio::test]
async fn what_is_paid_is_shipped_as_often_as_asked() {
    let sandbox = sandbox().await;
    let ship = || sandbox.post("/order/ship", json!({"orderId": "A"}));
    assert_eq!(ship().await.status, StatusCode::NOT_FOUND);
    sandbox.pay("A", "paying-forever").await.unwrap();
    assert_eq!(ship().await.status, StatusCode::CONFLICT);
    sandbox.pay("A", SHOPPERS_CODE).await.unwrap();
    for times in 1..=2 {
        let seen = ship().await;
        assert_eq!((seen.status, &seen.body["data"]["shipments"]), (StatusCode::OK, &json!(times)));
    }
    assert_eq!(sandbox.kinds("A").await, ["charge"]);
}

#[tokio::test]
async fn a_restarted_sandbox_continues_its_ledger() {
    let sandbox = sandbox().await;
    sandbox.pay("A", SHOPPERS_CODE).await.unwrap();
    let (config, folder) = sandbox.stopped().await;
    let sandbox = start(config, folder).await;
    assert_eq!(sandbox.status("A").await, 1);
    sandbox.pay("A", SHOPPERS_CODE).await.unwrap();
    let reading = ledger::read(&sandbox.config.ledger).unwrap();
    assert_eq!((reading.charges("A"), reading.damaged.len()), (2, 0));
}

#[tokio::test]
async fn a_connection_serves_many_requests() {
    let sandbox = sandbox().await;
    let mut connection = sandbox.connect().await;
    for _ in 0..3 {
        connection.ready().await.unwrap();
        assert_eq!(
            send(&mut connection, pay("A", SHOPPERS_CODE)).await.unwrap().status,
            StatusCode::OK
        );
    }
    assert_eq!(sandbox.ledger("A").await.len(), 3);
}

#[tokio::test]
async fn wrong_requests_get_clear_answers() {
    let sandbox = sandbox().await;
    assert_eq!(sandbox.get("/healthz").await.status, StatusCode::OK);

    let unknown = sandbox.get("/order/get_result?orderId=nobody").await;
    assert_eq!((unknown.status.as_u16(), &unknown.body["code"]), (404, &json!("0404")));
    let path = sandbox.get("/order/get_results?orderId=nobody").await;
    assert_eq!((path.status.as_u16(), &path.body["code"]), (404, &json!("0400")));
    let method = sandbox.get("/order/pay").await;
    assert_eq!(method.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(method.headers["allow"], "POST");

    let missing = sandbox.post("/order/pay", json!({"orderId": "A"})).await;
    assert_eq!(missing.status, StatusCode::BAD_REQUEST);
    assert_eq!(missing.body, json!({"code": "0400", "msg": "`amount` is missing"}));
    let goods = json!({"goodsId": "g", "userId": "u", "num": 0, "amount": 1});
    let create = sandbox.post("/order/create", goods).await;
    assert!(create.body["msg"].as_str().unwrap().contains("`num`"), "{}", create.body);
    assert_eq!(sandbox.get("/order/get_result").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_body_over_the_cap_gets_413() {
    let sandbox = sandbox().await;
    let padded = |length: usize| {
        let empty = json!({"orderId": "A", "amount": 1, "pad": ""}).to_string().len();
        json!({"orderId": "A", "amount": 1, "pad": "x".repeat(length - empty)})
    };
    let seen = sandbox.post("/order/pay", padded(router::MAX_BODY)).await;
    assert_eq!(seen.status, StatusCode::OK);
    let seen = sandbox.post("/order/pay", padded(router::MAX_BODY + 1)).await;
    assert_eq!((seen.status.as_u16(), &seen.body["code"]), (413, &json!("0413")));
    assert_eq!(sandbox.ledger("A").await.len(), 1);
}

/// A merchant that answers `failure` at first, `success` from the third callback on.
async fn merchant() -> (String, mpsc::UnboundedReceiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/notify", listener.local_addr().unwrap());
    let (heard, callbacks) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        while let Ok((stream, _)) = listener.accept().await {
            let (heard, count) = (heard.clone(), Arc::clone(&count));
            let respond = service_fn(move |request: Request<Incoming>| {
                let (heard, count) = (heard.clone(), Arc::clone(&count));
                async move {
                    let body = request.into_body().collect().await?.to_bytes();
                    heard.send(serde_json::from_slice(&body).unwrap()).unwrap();
                    let before = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let text = if before < 2 { "failure" } else { "success" };
                    hyper::Result::Ok(Response::new(Full::new(Bytes::from(text))))
                }
            });
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), respond);
            tokio::spawn(connection);
        }
    });
    (url, callbacks)
}

async fn next(callbacks: &mut mpsc::UnboundedReceiver<Value>) -> Value {
    timeout(PATIENCE, callbacks.recv()).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_charge_is_announced_until_the_merchant_says_success() {
    let (url, mut callbacks) = merchant().await;
    let sandbox = sandbox_with(|config| {
        config.notify_url = Some(url);
        config.notify_delays = vec![Duration::ZERO; 5];
    })
    .await;

    sandbox.pay("A", SHOPPERS_CODE).await.unwrap();
    let first = next(&mut callbacks).await;
    assert_eq!((&first["orderId"], &first["tradeStatus"]), (&json!("A"), &json!("SUCCESS")));
    assert_eq!(first["amount"], "9.90");
    assert_eq!(next(&mut callbacks).await, first);
    assert_eq!(next(&mut callbacks).await, first);

    // The third was acknowledged, so nothing of A comes among the repeats of B; C is never told.
    sandbox.pay("B", "notify-repeat").await.unwrap();
    sandbox.pay("C", "notify-none").await.unwrap();
    let repeat = next(&mut callbacks).await;
    assert_ne!(repeat["notifyId"], first["notifyId"]);
    for _ in 1..5 {
        assert_eq!(next(&mut callbacks).await, repeat);
    }
    sandbox.pay("D", SHOPPERS_CODE).await.unwrap();
    assert_eq!(next(&mut callbacks).await["orderId"], "D");
    sandbox.stopped().await;
    assert!(callbacks.try_recv().is_err());
}

#[tokio::test]
async fn a_notify_url_without_plain_http_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::new(folder.path().join("ledger"));
    config.notify_url = Some("https://shop/notify".to_owned());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let end = run(listener, config, CancellationToken::new()).await;
    assert_eq!(end.unwrap_err().kind(), io::ErrorKind::InvalidInput);
}
