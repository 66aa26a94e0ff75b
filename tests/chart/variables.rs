//! One value per variable: code, values, schema and routes name the same ones.

use super::{file, json};
use onceward::config::vars::{VARS, Var};
use onceward::config::{Config, Problems};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Values the chart sets where the binary has another default: a pod is probed from outside.
const OF_ITS_OWN: [&str; 1] = ["ADMIN_LISTEN"];

/// Values that must be known to the templates: ports are made of them.
const SPELT_OUT: [&str; 2] = ["LISTEN", "ADMIN_LISTEN"];

/// `LOCK_TTL` as `lockTtl`.
fn camel(name: &str) -> String {
    let mut parts = name.split('_').map(str::to_ascii_lowercase);
    let first = parts.next().unwrap_or_default();
    parts.fold(first, |name, part| {
        let (head, tail) = part.split_at(1);
        name + &head.to_ascii_uppercase() + tail
    })
}

/// What to do about a variable the chart does not have.
fn recipe(var: &Var) -> String {
    let (name, Var { default, about, .. }) = (camel(var.name), var);
    let of_route = match var.of_route {
        true => format!(
            "\nand a third to $defs.route.properties:\n\
             \"{field}\": {{\"$ref\": \"#/properties/config/properties/{name}\"}},",
            field = var.name.to_ascii_lowercase()
        ),
        false => String::new(),
    };
    format!(
        "{} is not in the chart. Add a line to `config:` in helm/onceward/values.yaml:\n  \
         {name}: \"\"  # [{default}] {about}\n\
         and one to properties.config.properties in helm/onceward/values.schema.json (the last \
         part is one of its $defs, or an enum of \"\" and words):\n\
         \"{name}\": {{\"description\": \"{about}.\", \"default\": \"{default}\", \
         \"$ref\": \"#/$defs/positiveDuration\"}},{of_route}",
        var.name
    )
}

/// The lines of `config:` in values.yaml: name, value, default in brackets.
fn values() -> BTreeMap<String, (String, String)> {
    let values = file("values.yaml");
    let lines = values.lines().skip_while(|line| *line != "config:").skip(1);
    lines
        .take_while(|line| line.starts_with("  "))
        .map(|line| {
            let (name, rest) = line.trim().split_once(": ").expect("a value");
            let (value, rest) = rest.split_once("  # [").unwrap_or_else(|| panic!("{line}"));
            let (default, about) = rest.split_once("] ").unwrap_or_else(|| panic!("{line}"));
            assert!(!about.is_empty(), "{line}");
            (name.to_owned(), (value.trim_matches('"').to_owned(), default.to_owned()))
        })
        .collect()
}

#[test]
fn every_variable_is_a_value_and_every_value_a_variable() {
    let (values, schema) = (values(), json("values.schema.json"));
    let described = schema["properties"]["config"]["properties"].as_object().expect("an object");
    for var in VARS {
        let name = camel(var.name);
        let (Some((value, told)), Some(described)) = (values.get(&name), described.get(&name))
        else {
            panic!("{}", recipe(var));
        };
        assert_eq!(told, var.default, "{name} in values.yaml tells another default");
        assert_eq!(described["default"], var.default, "{name} in the schema");
        assert!(described["description"].as_str().is_some_and(|text| text.len() > 5), "{name}");
        let is_constrained = ["$ref", "enum", "pattern"].iter().any(|by| !described[by].is_null());
        assert!(is_constrained, "{name} in the schema takes anything");
        match (SPELT_OUT.contains(&var.name), OF_ITS_OWN.contains(&var.name)) {
            (true, false) => assert_eq!(value, var.default, "{name} in values.yaml"),
            (true, true) => assert_ne!(value, var.default, "{name} in values.yaml"),
            (false, _) => {
                assert!(["", "[]"].contains(&value.as_str()), "{name}: a default lives in code");
            }
        }
    }
    let real: BTreeSet<String> = VARS.iter().map(|var| camel(var.name)).collect();
    assert_eq!(values.keys().cloned().collect::<BTreeSet<_>>(), real, "values.yaml, variables");
    assert_eq!(described.keys().cloned().collect::<BTreeSet<_>>(), real, "schema, variables");
}

#[test]
fn what_is_secret_comes_from_a_secret() {
    let schema = json("values.schema.json");
    let check = file("templates/_check.tpl");
    let listed = check.split("define \"onceward.secrets\" -}}").nth(1).expect("a list");
    let listed: BTreeSet<&str> = listed.split("{{").next().unwrap_or_default().split(' ').collect();
    for var in VARS.iter().filter(|var| var.secret) {
        let name = camel(var.name);
        let reference = &schema["properties"]["config"]["properties"][&name]["$ref"];
        let kind = reference.as_str().and_then(|path| path.strip_prefix("#/$defs/"));
        let takes = schema["$defs"][kind.expect("a kind")]["anyOf"].to_string();
        assert!(takes.contains("#/$defs/secretRef"), "{name} takes no reference");
        // An address is no secret as long as it has no password: that is checked there as well.
        let is_plain = var.name == "REDIS_URL";
        assert_eq!(listed.contains(name.as_str()), !is_plain, "{name} in onceward.secrets");
    }
}

#[test]
fn truths_are_told_from_words() {
    let env = file("templates/_env.tpl");
    let listed = env.split("define \"onceward.truths\" -}}").nth(1).expect("a list");
    let listed: BTreeSet<&str> = listed.split("{{").next().unwrap_or_default().split(' ').collect();
    let real: BTreeSet<String> = VARS
        .iter()
        .filter(|var| ["true", "false"].contains(&var.default))
        .map(|var| camel(var.name))
        .collect();
    let real: BTreeSet<&str> = real.iter().map(String::as_str).collect();
    assert_eq!(listed, real, "onceward.truths in templates/_env.tpl, variables");
}

#[test]
fn charts_carry_the_version_of_the_binary() {
    let version = env!("CARGO_PKG_VERSION");
    for chart in ["onceward", "onceward-example", "onceward-injection"] {
        let text = file(&format!("../{chart}/Chart.yaml"));
        for line in [format!("version: {version}"), format!("appVersion: {version}")] {
            assert!(text.lines().any(|told| told == line), "{chart}: {line}");
        }
        let dependency = format!("{{ name: onceward, version: {version}, ");
        assert_eq!(text.contains(&dependency), chart != "onceward", "{chart}: {dependency}");
    }
}

/// The fields of a route, as whoever wrote none of them is told.
fn fields_of_a_route() -> BTreeSet<String> {
    let routes = r#"[{"name": "a", "path": "/a", "???": 1}]"#;
    let environment = HashMap::from([("ONCEWARD_ROUTES".to_owned(), routes.to_owned())]);
    let Err(Problems(problems)) = Config::load(&environment) else {
        panic!("it has no such field")
    };
    let told = problems[0].what.strip_prefix("no such field; there are ").expect("all of them");
    told.split(", ").map(str::to_owned).collect()
}

#[test]
fn the_schema_knows_every_field_of_a_route() {
    let schema = json("values.schema.json");
    let told: BTreeSet<String> = schema["$defs"]["route"]["properties"]
        .as_object()
        .expect("an object")
        .keys()
        .cloned()
        .collect();
    let real = fields_of_a_route();
    assert!(VARS.iter().all(|var| !var.of_route || real.contains(&var.name.to_ascii_lowercase())));
    assert_eq!(
        told, real,
        "$defs.route.properties of helm/onceward/values.schema.json, fields of a route"
    );
}
