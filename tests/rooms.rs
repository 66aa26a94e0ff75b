//! Which room knows which: the order that ARCHITECTURE.md promises, held against what is imported.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The rooms by how far down they are, as the code map says: `main > cli > {http, admin} > ...`.
fn levels(text: &str) -> BTreeMap<&str, usize> {
    let chain = text.split("`main > ").nth(1).expect("a chain of rooms");
    let chain = chain.split('`').next().unwrap_or_default();
    let mut levels = BTreeMap::from([("main", 0)]);
    for (level, names) in chain.split(" > ").enumerate() {
        let names = names.trim_matches(['{', '}']).split(", ");
        levels.extend(names.map(|name| (name, level + 1)));
    }
    levels
}

/// What each room imports of the others; tests are nobody's imports.
fn imports(folder: &Path, found: &mut BTreeMap<String, BTreeSet<String>>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            imports(&path, found);
            continue;
        }
        let name = path.file_name().and_then(|name| name.to_str()).expect("UTF-8");
        let is_code = name.ends_with(".rs") && !name.ends_with("tests.rs") && name != "lib.rs";
        if !is_code {
            continue;
        }
        let place = path.strip_prefix(Path::new(ROOT).join("src")).expect("below src");
        let first = place.iter().next().and_then(|part| part.to_str()).expect("UTF-8");
        let room = first.trim_end_matches(".rs").to_owned();
        let text = std::fs::read_to_string(&path).expect("a file");
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let code = code.collect::<Vec<_>>().join("\n");
        let named = code.split("crate::").skip(1).flat_map(first_names);
        found.entry(room.clone()).or_default().extend(named.filter(|other| *other != room));
    }
}

/// The first names of a path, or of each path in a list: `a::b`, `{a, b::{c, d}}`.
fn first_names(path: &str) -> Vec<String> {
    let name = |text: &str| -> String {
        let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        text[..end.unwrap_or(text.len())].to_owned()
    };
    let Some(list) = path.strip_prefix('{') else {
        return vec![name(path)];
    };
    let (mut names, mut depth, mut begins) = (Vec::new(), 0, true);
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => begins = true,
            c if begins && !c.is_whitespace() => {
                names.push(name(&list[at..]));
                begins = false;
            }
            _ => {}
        }
    }
    names
}

#[test]
fn imports_point_only_downward() {
    let text = std::fs::read_to_string(format!("{ROOT}/ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let levels = levels(&text);
    let mut found = BTreeMap::new();
    imports(&Path::new(ROOT).join("src"), &mut found);
    let mut upward = Vec::new();
    for (room, others) in &found {
        for other in others {
            if let (Some(here), Some(there)) = (levels.get(&**room), levels.get(&**other))
                && here >= there
            {
                upward.push(format!("{room} imports {other}"));
            }
        }
    }
    assert_eq!(upward, [""; 0]);
    // The scan finds what there is.
    assert!(found["guard"].is_superset(&["store", "upstream", "model"].map(str::to_owned).into()));
    assert!(found["cli"].is_superset(&["app", "dev", "operate"].map(str::to_owned).into()));

    let said = text.split("Below `app` only ").nth(1).expect("who imports config");
    let said = said.split(" import `config`").next().unwrap_or_default();
    let said: BTreeSet<&str> = said.split('`').skip(1).step_by(2).collect();
    let below = |room: &&String| levels.get(&***room).is_some_and(|level| *level > levels["app"]);
    let importing = found.iter().filter(|(_, others)| others.contains("config"));
    let importing: BTreeSet<&str> =
        importing.map(|(room, _)| room).filter(below).map(String::as_str).collect();
    assert_eq!(importing, said);
}
