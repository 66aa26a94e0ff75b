//! What was stored and is read back, when something else wrote there, or half of it.

use super::{Target, led_to};
use crate::lua::bench::{CALLER, KEEP, LEASE, NAMESPACE, order, store};
use crate::support::redis::Redis;
use bytes::Bytes;
use onceward::answer::document;
use onceward::model::identity::AttemptIds;
use onceward::model::order::State;
use onceward::model::response::{pack, unpack};
use onceward::model::seal::Secrets;
use onceward::store::names::Names;
use onceward::store::orders::{Claim, ClaimAsk};
use std::sync::Arc;

/// Headers that are read back are those that were written; what is no such text is refused.
#[test]
fn packed_headers() {
    let words: [&[u8]; 6] = [b"\0", b"\xff", b"content-type: a\r\n", b"\r\n", b"\n", b": "];
    Target { name: "headers", words: &words, runs: 20_000 }.fuzz(|text| {
        let headers = unpack(&Bytes::copy_from_slice(text));
        if let Some(headers) = &headers {
            assert_eq!(unpack(&pack(headers).into()).as_ref(), Some(headers));
        }
        led_to((headers.map(|headers| headers.len().min(9)), text.len() / 32))
    });
}

/// What was sealed opens, under its own name and nothing else; a single changed byte is refused.
#[test]
fn seals() {
    let secrets = Secrets::parse("a secret of 16 b, another secret of 24 by").unwrap();
    Target { name: "seal", words: &[b"\xfe", b"\0\0\0\0"], runs: 5_000 }.fuzz(|text| {
        let opened = secrets.open(b"order", text);
        assert!(opened.is_err(), "nobody sealed that");
        let mut sealed = secrets.seal(b"order", text).unwrap();
        assert_eq!(secrets.open(b"order", &sealed).as_deref(), Ok(text));
        assert!(secrets.open(b"another", &sealed).is_err());
        let at = led_to(text) as usize % sealed.len();
        sealed[at] ^= 1;
        assert!(secrets.open(b"order", &sealed).is_err(), "changed at {at}");
        led_to((opened.map_err(|error| error.to_string()), text.len() / 64))
    });
}

/// An order's record, in the format of today as it lies there, or fields of a hash of the ones before,
/// a name and a value a line. Whatever stands there, the order is read or is none, its document can be
/// written, nothing but what was sealed to it is opened, and a payment of it gets an answer or an error.
#[test]
fn stored_records() {
    let redis = Redis::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let order = order("1");
    let names = Names::new(NAMESPACE);
    let (name, lease) = (names.record(&order), names.lease(&order));
    let attempt = AttemptIds::new().unwrap().next();
    let claim = ClaimAsk {
        order: &order,
        attempt: &attempt,
        lease: LEASE,
        keep: KEEP,
        fingerprints: "print",
        callers: CALLER,
        grant_from: &[State::None],
        ask: None,
        token: None,
        trace: None,
        left: true,
    };
    let secrets = Arc::new(Secrets::parse("a secret of 16 b").unwrap());
    let store = store(&redis, |config| config.secrets = secrets);
    let client = redis::Client::open(redis.url()).unwrap();
    // The library waits for half a second by itself.
    let patient = redis::AsyncConnectionConfig::new().set_response_timeout(None);
    let connecting = client.get_multiplexed_async_connection_with_config(&patient);
    let mut connection = runtime.block_on(connecting).unwrap();
    let words: [&[u8]; 36] = [
        b"3 print succeeded done 1 attempt 1 none 0 1700000000000 - 1700000000001\n",
        b"3 - unknown kept 2 attempt 2 none 0 - - 9 waited=1 void=a,b\n",
        b"1700000000000 none in_flight a b c\n",
        b"asked 13\n\x82\xa5route\xa3pay",
        b"asked 99999999999999999999\n",
        b"yes 200 0\n{}",
        b"state",
        b"stands",
        b"\x82\xa1v\xa12\xa5state\xa9succeeded",
        b"\x81\xa1v\xa13",
        b"asked",
        b"answered",
        b"yes 200 0\x01{}",
        b"succeeded",
        b"in_flight",
        b"unknown",
        b"stored",
        b"yes",
        b"large",
        b"status",
        b"200",
        b"999",
        b"headers",
        b"body",
        b"\xfe",
        b"\xff",
        b"history",
        b"created",
        b"updated",
        b"fence",
        b"18446744073709551615",
        b"-1",
        b"99999999999999999 none queued a b",
        b" ",
        b"1",
        b"\n",
    ];
    Target { name: "record", words: &words, runs: 1_500 }.fuzz(|text| {
        let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
        let (record, claimed) = runtime.block_on(async {
            let mut write = redis::pipe();
            write.del(&[&name, &lease]).ignore();
            if text.starts_with(b"3") {
                write.set(&name, text).ignore();
            }
            let lines = if text.starts_with(b"3") { &[][..] } else { &lines };
            for pair in lines.chunks_exact(2) {
                // A line feed within a value is written so.
                let value: Vec<u8> =
                    pair[1].iter().map(|byte| if *byte == 1 { b'\n' } else { *byte }).collect();
                write.hset(&name, pair[0], value).ignore();
            }
            write.exec_async(&mut connection).await.unwrap();
            (store.look(&order).await, store.claim(&claim).await)
        });
        let claimed = match claimed {
            Err(error) => error.kind().to_owned(),
            Ok(Claim::Found(found)) => format!("found {} {:?}", found.state, found.left.is_zero()),
            Ok(claim) => claim.word().to_owned(),
        };
        led_to((
            claimed,
            match &record {
                Err(error) => error.kind().to_owned(),
                Ok(None) => "none".into(),
                Ok(Some(record)) => {
                    let document = document::for_operator(record);
                    let response = document.get("response").is_some();
                    format!("{} {} {}", record.state, response, record.history.len())
                }
            },
        ))
    });
}
