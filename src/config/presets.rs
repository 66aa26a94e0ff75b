//! Presets: a channel's dialect and numbers, as the fields of a route. A route overrides any field.
//!
//! Sources are the channels' own pages, by name: documents move, their titles stay. Each says what
//! was read there, what was read only in somebody's copy of it, and what could not be looked up.

use serde_json::{Map, Value};

/// A preset: its name, and its fields as a route would write them.
struct Preset {
    name: &'static str,
    fields: &'static str,
}

const PRESETS: [Preset; 5] = [
    // WeChat Pay, "payment result notification" (支付结果通知; read at pay.weixin.qq.com/doc/global/v2/zh/
    // 4013634999): sent again after 15s/15s/30s/3m/10m/20m/30m/30m/30m/60m/3h/3h/3h/6h/6h, 24 h 4 min
    // in all. Read in copies only: 200 or 204 acknowledges (API v3, chapter3_3_5), within 5 s ("notes
    // on callbacks", 回调通知注意事项, chapter1_1_5). The order number is encrypted, `id` is the
    // notification's own; upstream names the order as Onceward-Settles.
    Preset {
        name: "wechat-v3-notify",
        fields: r#"{
            "kind": "callback",
            "key": ["json:/id"],
            "unchanged": ["json:/event_type"],
            "ack": {"status": [200, 204]},
            "outcome": [{"at": "json:/event_type", "in": ["TRANSACTION.SUCCESS"], "means": "succeeded"}]
        }"#,
    },
    // WeChat Pay v2, "common notification of payment results" (支付结果通用通知, chapter 9_7; read in
    // copies only): the answer is XML with return_code SUCCESS; otherwise it is sent again after
    // 15/15/30/180/1800/1800/1800/1800/3600 s. A FAIL is one try of the shopper's, who may pay the
    // same order yet: it settles nothing.
    Preset {
        name: "wechat-v2-notify",
        fields: r#"{
            "kind": "callback",
            "key": ["xml:out_trade_no"],
            "event": ["xml:transaction_id", "xml:result_code"],
            "unchanged": ["xml:total_fee", "xml:mch_id"],
            "ack": {"status": [200], "at": "xml:return_code", "in": ["SUCCESS"]},
            "outcome": [{"at": "xml:result_code", "in": ["SUCCESS"], "means": "succeeded"}]
        }"#,
    },
    // Alipay, "notes on asynchronous notifications" (异步通知, opendocs.alipay.com/open/270/105902; read
    // in a copy only): the body of the answer is exactly `success`; otherwise it is sent again, 8
    // times within about 25 h (4m, 10m, 10m, 1h, 2h, 6h, 15h). Refunds of part of a payment come as
    // TRADE_SUCCESS once more, with refund_fee and out_biz_no: events of their own. A refund of all
    // of it comes as TRADE_CLOSED with gmt_refund: the payment did not fail.
    Preset {
        name: "alipay-notify",
        fields: r#"{
            "kind": "callback",
            "key": ["form:out_trade_no"],
            "event": ["form:trade_status", "form:refund_fee", "form:out_biz_no"],
            "unchanged": ["form:total_amount", "form:seller_id"],
            "ack": {"status": [200], "body": "success"},
            "outcome": [
                {"at": "form:gmt_refund", "means": "unknown"},
                {"at": "form:trade_status", "in": ["TRADE_SUCCESS", "TRADE_FINISHED"], "means": "succeeded"},
                {"at": "form:trade_status", "in": ["TRADE_CLOSED"], "means": "failed"}
            ]
        }"#,
    },
    // WeChat Pay v2, "submit a payment by code" (提交付款码支付; read at pay.weixin.qq.com/doc/global/v2/
    // zh/4013634893): ask every 10 s while it says USERPAYING, reverse what stays unclear, and not
    // within 15 s of paying. The 45 s after which to reverse could not be looked up: that page, of
    // the channel's global edition, suggests 30. SYSTEMERROR and BANKERROR: "ask".
    Preset {
        name: "wechat-micropay",
        fields: r#"{
            "query_interval": "10s",
            "query_backoff": false,
            "resolve_deadline": "45s",
            "settle_delay": "15s",
            "cancel_delay": "15s",
            "outcome": [
                {"at": "xml:err_code", "in": ["USERPAYING", "SYSTEMERROR", "BANKERROR"], "means": "unknown"},
                {"at": "xml:return_code", "in": ["FAIL"], "means": "failed"},
                {"at": "xml:result_code", "in": ["SUCCESS"], "means": "succeeded"},
                {"at": "xml:result_code", "in": ["FAIL"], "means": "failed"}
            ]
        }"#,
    },
    // Alipay, "polling" of payments at the counter (轮询, alipay.trade.pay; read in a copy only): ask
    // every 3 to 6 s for about 60 s, then cancel, right after the last query. That the first query
    // comes after 5 s could not be looked up. Codes: 10000 paid, 10003 the shopper is paying, 20000
    // not known, 40004 failed, but for ACQ.SYSTEM_ERROR, which is to be asked about.
    Preset {
        name: "alipay-barcode",
        fields: r#"{
            "first_query": "5s",
            "query_interval": "3s",
            "query_backoff": false,
            "resolve_deadline": "60s",
            "cancel_interval": "3s",
            "outcome": [
                {"at": "json:/alipay_trade_pay_response/sub_code", "in": ["ACQ.SYSTEM_ERROR"], "means": "unknown"},
                {"at": "json:/alipay_trade_pay_response/code", "in": ["10000"], "means": "succeeded"},
                {"at": "json:/alipay_trade_pay_response/code", "in": ["10003", "20000"], "means": "unknown"},
                {"at": "json:/alipay_trade_pay_response/code", "in": ["40004"], "means": "failed"}
            ]
        }"#,
    },
];

/// Takes `preset` off a route's fields and puts what it stands for below them.
///
/// # Errors
/// What is wrong with the name.
pub(super) fn spread(route: &mut Map<String, Value>) -> Result<(), String> {
    let Some(name) = route.remove("preset") else {
        return Ok(());
    };
    let preset = PRESETS.iter().find(|preset| name.as_str() == Some(preset.name));
    let Some(preset) = preset else {
        let names: Vec<_> = PRESETS.iter().map(|preset| preset.name).collect();
        return Err(format!("expected one of {}", names.join(", ")));
    };
    // Every preset is read by a test.
    let fields: Map<String, Value> = serde_json::from_str(preset.fields).unwrap_or_default();
    for (field, value) in fields {
        route.entry(field).or_insert(value);
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn every_preset_is_json_and_a_route_overrides_its_fields() {
        for preset in PRESETS {
            let all: Map<String, Value> = serde_json::from_str(preset.fields).unwrap();
            let mut route = Map::new();
            route.insert("preset".into(), preset.name.into());
            route.insert("outcome".into(), Value::Array(Vec::new()));
            spread(&mut route).unwrap();
            assert_eq!(route["outcome"], Value::Array(Vec::new()));
            assert_eq!(route.len(), all.len(), "{}", preset.name);
        }
    }

    /// The waits between the tries of each channel, in seconds, as the comments above quote them.
    #[test]
    fn what_was_acknowledged_is_kept_longer_than_any_channel_repeats_itself() {
        let v3: [u64; 15] = [
            15, 15, 30, 180, 600, 1200, 1800, 1800, 1800, 3600, 10_800, 10_800, 10_800, 21_600,
            21_600,
        ];
        assert_eq!(v3.iter().sum::<u64>(), 24 * 3600 + 4 * 60);
        let v2: [u64; 9] = [15, 15, 30, 180, 1800, 1800, 1800, 1800, 3600];
        let alipay: [u64; 7] = [240, 600, 600, 3600, 7200, 21_600, 54_000];
        let kept = super::super::vars::var("CALLBACK_TTL").default;
        let kept: Duration = humantime::parse_duration(kept).unwrap();
        for waits in [&v3[..], &v2, &alipay] {
            assert!(Duration::from_secs(waits.iter().sum()) < kept);
        }
    }
}
