use super::*;
use crate::model::noise;

fn at<'a>(json: &'a str, pointer: &str) -> Result<Option<Node<'a>>, BadJson> {
    Document::parse(json.as_bytes())?.at(pointer)
}

fn check(json: &str, pointer: &str, expect: Option<&str>) {
    let found = at(json, pointer).unwrap();
    assert_eq!(found.as_ref().and_then(Node::as_text), expect, "{json:.80} {pointer}");
}

fn check_parse(json: &[u8], expect: Result<(), BadJson>) {
    let parsed = Document::parse(json).map(drop);
    assert_eq!(parsed, expect, "{:.80}", String::from_utf8_lossy(json));
    if expect.is_err() {
        assert_eq!(canonical(json, &[]).map(drop), expect, "both judge alike");
    }
}

fn check_canonical(json: &str, ignore: &[&str], expect: &str) {
    let ignore: Vec<String> = ignore.iter().map(ToString::to_string).collect();
    let written = canonical(json.as_bytes(), &ignore).unwrap();
    assert_eq!(String::from_utf8(written).unwrap(), expect);
}

#[test]
fn a_pointer_finds_strings_and_integers() {
    check(r#"{"orderId":"2024-0001"}"#, "/orderId", Some("2024-0001"));
    check(r#" { "a" : { "b" : [ 7 , "x" ] } } "#, "/a/b/0", Some("7"));
    check(r#"{"a":{"b":[7,"x"]}}"#, "/a/b/1", Some("x"));
    check(r#""x""#, "", Some("x"));
    check(r#"{"":{"":1}}"#, "//", Some("1"));
    check(r#"{"a/b":1,"m~n":2,"~1":3}"#, "/a~1b", Some("1"));
    check(r#"{"a/b":1,"m~n":2,"~1":3}"#, "/m~0n", Some("2"));
    check(r#"{"a/b":1,"m~n":2,"~1":3}"#, "/~01", Some("3"));
    check(r#"{"\u0061":"\u8ba2\ud83d\udcb0\n\/"}"#, "/a", Some("订💰\n/"));
    check(r#"{"a":[{"b":1},{"b":2}],"b":3}"#, "/a/1/b", Some("2"));
}

#[test]
fn a_pointer_to_nothing_finds_nothing() {
    for pointer in ["/b", "/a/b", "/a/0", "/A", "/a/", "/", "/l/01", "/l/+1", "/l/-", "/l/2"] {
        check(r#"{"a":"x","l":[0,1]}"#, pointer, None);
    }
    check("[1]", "/18446744073709551616", None);
    check("1", "/a", None);
}

#[test]
fn every_kind_is_told_apart() {
    for (json, expect) in [
        ("null", Node::Null),
        ("true", Node::Bool(true)),
        ("false", Node::Bool(false)),
        ("-5", Node::Integer("-5")),
        ("0", Node::Integer("0")),
        ("1.0", Node::Float("1.0")),
        ("1e3", Node::Float("1e3")),
        ("-0.1E-7", Node::Float("-0.1E-7")),
        (" [1, 2 ] ", Node::Array("[1, 2 ]")),
        ("{}", Node::Object("{}")),
    ] {
        assert_eq!(at(json, ""), Ok(Some(expect)));
    }
    let huge = "9".repeat(1 << 20);
    check(&huge, "", Some(&huge));
}

#[test]
fn a_member_twice_on_the_way_is_refused() {
    assert_eq!(at(r#"{"a":1,"a":1}"#, "/a"), Err(BadJson::Twice));
    assert_eq!(at(r#"{"a":1,"\u0061":2}"#, "/a"), Err(BadJson::Twice));
    assert_eq!(at(r#"{"a":{"b":1},"a":2}"#, "/a/b"), Err(BadJson::Twice));
    assert_eq!(at(r#"{"a":{"b":1,"b":2}}"#, "/a/b"), Err(BadJson::Twice));
    check(r#"{"a":1,"x":1,"x":2}"#, "/a", Some("1"));
    check(r#"[{"a":1},{"a":2}]"#, "/0/a", Some("1"));
}

#[test]
fn a_bad_pointer_is_refused() {
    for pointer in ["a", "a/b", "/~", "/~2", "/a~/b", "/~~0", "#/a"] {
        assert!(!is_pointer(pointer));
        assert_eq!(at("{}", pointer), Err(BadJson::Pointer), "{pointer}");
    }
}

#[test]
fn only_json_is_read() {
    for json in [
        "",
        " ",
        "{",
        "}",
        "[",
        "]",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[1]]",
        "[1}",
        "{]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{1:1}",
        "{\"a\":1 \"b\":2}",
        "{,}",
        "1 2",
        "01",
        "-",
        "-01",
        "+1",
        ".5",
        "1.",
        "1.e3",
        "1e",
        "1e+",
        "0x1",
        "NaN",
        "Infinity",
        "nul",
        "True",
        "truee",
        "'a'",
        "\"",
        "\"a",
        "\"\\\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\\u+123\"",
        "\"\\ué00\"",
        "\"\n\"",
        "\"\0\"",
        "\u{feff}",
        "\u{feff}\u{feff}1",
        " \u{feff}1",
        "1//",
        "/**/1",
        "\u{a0}1",
        "\"\\u",
        "\"\\",
        "\"\\é\"",
    ] {
        check_parse(json.as_bytes(), Err(BadJson::Malformed));
    }
    check_parse(b"\"\xff\"", Err(BadJson::NotUtf8));
    check_parse(b"\"\xed\xa0\x80\"", Err(BadJson::NotUtf8));
    check_parse("\"\u{7f}\u{2028}\"\t\r\n ".as_bytes(), Ok(()));
}

#[test]
fn a_byte_order_mark_is_passed_over() {
    check("\u{feff}{\"orderId\":\"1\"}", "/orderId", Some("1"));
    check_canonical("\u{feff} {\"b\":1,\"a\":2}", &["/b"], r#"{"a":2}"#);
}

#[test]
fn half_a_surrogate_pair_is_refused() {
    for half in ["\\ud83d", "\\udcb0", "\\ud83d\\ud83d", "\\ud83dx", "\\ud83d\\n", "\\uDCB0\\uD83D"]
    {
        check_parse(format!("[\"{half}\"]").as_bytes(), Err(BadJson::Malformed));
        check_parse(format!("{{\"{half}\":1}}").as_bytes(), Err(BadJson::Malformed));
    }
    check_parse(br#"["\uD83D\uDCB0", "\udbff\udfff", "\ud800\udc00"]"#, Ok(()));
}

#[test]
fn depth_is_capped() {
    let nest = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    check_parse(nest(MAX_DEPTH).as_bytes(), Ok(()));
    check_parse(nest(MAX_DEPTH + 1).as_bytes(), Err(BadJson::TooDeep));
    check_parse(&vec![b'['; 1 << 20], Err(BadJson::TooDeep));
    check_parse(&b"{\"a\":".repeat(1 << 18), Err(BadJson::TooDeep));
    check_parse(nest(2).repeat(2).as_bytes(), Err(BadJson::Malformed));
}

#[test]
fn one_spelling_for_one_meaning() {
    check_canonical(
        r#" { "b" : [ 1 , { } , [ ] ] , "a" : "x" } "#,
        &[],
        r#"{"a":"x","b":[1,{},[]]}"#,
    );
    check_canonical(
        r#"{"\u0062":1,"a":"\u0041\/\n\u001F\"\\"}"#,
        &[],
        r#"{"a":"A/\u000a\u001f\"\\","b":1}"#,
    );
    check_canonical(r#"{"é":1,"z":2,"":3}"#, &[], r#"{"":3,"z":2,"é":1}"#);
    check_canonical(
        r#"{"a":{"d":1,"c":{"f":2,"e":3}}}"#,
        &[],
        r#"{"a":{"c":{"e":3,"f":2},"d":1}}"#,
    );
    check_canonical(r#"[null,true,false,"x"]"#, &[], r#"[null,true,false,"x"]"#);
    check_canonical(r#"["\u0022,\u0022"]"#, &[], r#"["\",\""]"#);
}

#[test]
fn numbers_keep_every_digit() {
    let numbers = "[9007199254740993,1.0,1,1e3,-0,1E999999999,0.10]";
    check_canonical(numbers, &[], numbers);
}

#[test]
fn what_is_ignored_is_left_out() {
    let json = r#"{"nonce":1,"b":{"time":2,"c":3},"l":[{"time":4,"x":5},6],"a":7}"#;
    check_canonical(
        json,
        &["/nonce", "/b/time", "/l/0/time", "/none", "sign", "/~"],
        r#"{"a":7,"b":{"c":3},"l":[{"x":5},6]}"#,
    );
    check_canonical(json, &["/b", "/b/time", "/l/0", "/l/1"], r#"{"a":7,"l":[],"nonce":1}"#);
    check_canonical(json, &["/a", "/b", "/l", "/nonce"], "{}");
    check_canonical(json, &[""], "");
    check_canonical(r#"{"a/b":1,"c":2}"#, &["/a~1b"], r#"{"c":2}"#);
    check_canonical("1", &["/a"], "1");
}

#[test]
fn a_member_twice_anywhere_has_no_spelling() {
    let ignore = ["/a".to_owned()];
    for json in [
        r#"{"x":1,"y":2,"x":1}"#,
        r#"{"x":1,"\u0078":1}"#,
        r#"[[{"x":1,"x":1}]]"#,
        r#"{"a":1,"a":2}"#,
        r#"{"a":{"x":1,"x":2}}"#,
    ] {
        assert_eq!(canonical(json.as_bytes(), &ignore), Err(BadJson::Twice), "{json}");
    }
}

#[test]
fn large_input_is_survived() {
    let wide = format!("[{}0]", "0,".repeat(1 << 19));
    check_canonical(&wide, &["/524289"], &wide);
    let members: Vec<String> = (0..100_000).rev().map(|n| format!("\"{n:06}\":0")).collect();
    let json = format!("{{{}}}", members.join(","));
    check(&json, "/000000", Some("0"));
    assert!(canonical(json.as_bytes(), &[]).unwrap().starts_with(b"{\"000000\":0,\"000001\""));
    let fat = "x".repeat(1 << 20);
    let deep = format!("{}\"{fat}\"{}", "{\"b\":".repeat(MAX_DEPTH), ",\"a\":0}".repeat(MAX_DEPTH));
    assert_eq!(canonical(deep.as_bytes(), &[]).unwrap().len(), deep.len());
    check(&deep, &"/b".repeat(MAX_DEPTH), Some(&fat));
    check_parse(format!("\"{}", "\\u0061".repeat(1 << 18)).as_bytes(), Err(BadJson::Malformed));
}

#[test]
fn random_input_is_judged_as_serde_json_judges_it() {
    for alphabet in [&noise::bytes()[..], b"[]{},:\"\"01ab\\u-.e tf", b"[]{}[]{},:1"] {
        noise::each(60_000, alphabet, |input| {
            let theirs = serde_json::from_slice::<serde_json::Value>(input);
            let ours = Document::parse(input).map(drop);
            // serde_json alone refuses numbers beyond f64.
            assert!(ours.is_ok() == theirs.is_ok() || input.contains(&b'e'), "{input:?}");
            let (Ok(once), Ok(theirs)) = (canonical(input, &[]), theirs) else {
                return;
            };
            assert_eq!(canonical(&once, &[]).unwrap(), once);
            let again: serde_json::Value = serde_json::from_slice(&once).unwrap();
            assert_eq!(again, theirs);
        });
    }
}

#[test]
fn random_edits_of_json_never_panic() {
    let json = r#"{"a":{"\u0061":[1,-2.5e3,"x\n"]},"b":[{"c":null,"d":true}],"a":1}"#;
    noise::each(20_000, &noise::bytes(), |input| {
        let [at, edit @ ..] = input else { return };
        let cut = usize::from(*at) % json.len();
        let mut edited = json.as_bytes().to_vec();
        edited.splice(cut..cut + 1, edit.iter().take(2).copied());
        let _ = canonical(&edited, &["/b/0/c".to_owned(), "/a/a/1".to_owned()]);
        if let Ok(document) = Document::parse(&edited) {
            let _ = document.at("/b/0/c");
            let _ = document.at("/a/a/1");
        }
    });
}
