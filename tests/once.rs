//! The main job: each order once, every duplicate the first answer.

use crate::support::client::Call;
use crate::support::redis::Redis;
use crate::support::sidecar::sidecar;
use crate::support::upstream::Upstream;

#[test]
fn a_duplicate_of_a_finished_order_gets_the_same_bytes() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let onceward = sidecar(&redis, &upstream).start();

    let first = Call::pay("2024-0001").send(onceward.address);
    assert_eq!(
        (first.status, first.state(), first.is_replay()),
        (200, "succeeded", false)
    );
    assert_eq!(first.text(), r#"{"paid":true,"call":1}"#);

    let again = Call::pay("2024-0001").send(onceward.address);
    assert_eq!(
        (again.status, again.state(), again.is_replay()),
        (200, "succeeded", true)
    );
    assert_eq!(again.body, first.body);
    assert_eq!(again.header("content-type"), first.header("content-type"));
    assert_eq!(upstream.calls(), 1);
}
