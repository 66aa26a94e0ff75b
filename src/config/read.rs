//! Reading variables from wherever they come, and gathering every problem on the way.

use super::vars::{self, OTEL, PREFIX, Var};
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

/// Where variables come from: the process, or a map in a test.
pub trait Environment {
    /// The value of a variable, by its whole name; whatever bytes it holds.
    fn get(&self, name: &str) -> Option<OsString>;
    /// Every name there is.
    fn names(&self) -> Vec<String>;
}

impl<T: Clone + Into<OsString>> Environment for HashMap<String, T> {
    fn get(&self, name: &str) -> Option<OsString> {
        HashMap::get(self, name).cloned().map(Into::into)
    }

    fn names(&self) -> Vec<String> {
        self.keys().cloned().collect()
    }
}

/// The variables of this process.
#[derive(Debug, Clone, Copy)]
pub struct Process;

#[allow(clippy::disallowed_methods, reason = "this is the one room that reads the environment")]
impl Environment for Process {
    fn get(&self, name: &str) -> Option<OsString> {
        std::env::var_os(name)
    }

    fn names(&self) -> Vec<String> {
        std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect()
    }
}

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The variable, or the route's field.
    pub at: String,
    /// What is wrong with it; never a secret's value.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.what)
    }
}

/// Everything that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.0 {
            writeln!(f, "{problem}")?;
        }
        Ok(())
    }
}

/// Values by variable: what was set, else the default; a route's fields go before both.
pub struct Values<'a> {
    /// `ONCEWARD_ROUTES[0] (pay)` while a route is read.
    place: String,
    set: BTreeMap<&'static str, String>,
    /// Variables that came from files, and which.
    files: BTreeMap<&'static str, PathBuf>,
    below: Option<&'a Values<'a>>,
}

impl<'a> Values<'a> {
    /// The process's values. A `_FILE` goes before the variable itself; one that cannot be read or
    /// holds nothing is a problem: whoever names one asks for what it protects. So is what is no
    /// text: taken for one, secrets that differ would be the same.
    pub fn of_process(environment: &dyn Environment, problems: &mut Vec<Problem>) -> Values<'a> {
        let (mut set, mut files) = (BTreeMap::new(), BTreeMap::new());
        let text = |name: &str, problems: &mut Vec<Problem>| match text(environment, name)? {
            Ok(text) => Some(text),
            // OpenTelemetry's are told of with the rest of traces; no payment depends on them.
            Err(_) if name.starts_with(OTEL) => None,
            Err(what) => {
                problems.push(Problem { at: name.to_owned(), what });
                None
            }
        };
        for var in vars::VARS {
            let name = var.whole_name();
            let plain = text(&name, problems).map(|value| value.trim().to_owned());
            if var.secret
                && let Some(path) = text(&format!("{name}_FILE"), problems)
            {
                match secret(&path) {
                    Ok(value) => {
                        set.insert(var.name, value);
                        files.insert(var.name, PathBuf::from(path));
                    }
                    Err(what) => problems.push(Problem { at: format!("{name}_FILE"), what }),
                }
            } else if let Some(plain) = plain {
                set.insert(var.name, plain);
            }
        }
        Values { place: String::new(), set, files, below: None }
    }

    /// A route's values over the process's.
    pub fn of_route(
        below: &'a Values<'a>,
        place: String,
        set: BTreeMap<&'static str, String>,
    ) -> Values<'a> {
        Values { place, set, files: BTreeMap::new(), below: Some(below) }
    }

    /// The value of a variable as text.
    pub fn text(&self, var: &'static Var) -> &str {
        match (self.set.get(var.name), self.below) {
            (Some(value), _) => value,
            (None, Some(below)) => below.text(var),
            (None, None) => var.default,
        }
    }

    /// The value of a variable, read by `read`; a problem with its name on it when it is bad.
    pub fn read<T>(
        &self,
        name: &str,
        problems: &mut Vec<Problem>,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let var = vars::var(name);
        match read(self.text(var)) {
            Ok(value) => Some(value),
            Err(what) => {
                // What stands in the process's variables is reported once, there.
                if self.below.is_none() || self.is_own(var) {
                    problems.push(Problem { at: self.name_of(var), what });
                }
                None
            }
        }
    }

    /// The file a variable came from.
    pub fn file(&self, name: &str) -> Option<PathBuf> {
        self.files.get(name).cloned()
    }

    /// What the person who set it calls it: a route's field, or the variable that it leaves it to.
    pub fn name_of(&self, var: &Var) -> String {
        match self.below {
            Some(_) if self.is_own(var) => {
                format!("{}.{}", self.place, var.name.to_ascii_lowercase())
            }
            _ => var.whole_name(),
        }
    }

    /// What a route's field is called that is no variable.
    pub fn field(&self, name: &str) -> String {
        format!("{}.{name}", self.place)
    }

    /// For whom a value is, where its name does not say so: ` for ONCEWARD_ROUTES[0] (pay)`.
    pub fn heir_of(&self, var: &Var) -> String {
        match self.below {
            Some(_) if !self.is_own(var) => format!(" for {}", self.place),
            _ => String::new(),
        }
    }

    /// Whether it stands here, and is not taken from below.
    pub fn is_own(&self, var: &Var) -> bool {
        self.set.contains_key(var.name)
    }
}

/// The text of a variable that is set.
pub(super) fn text(environment: &dyn Environment, name: &str) -> Option<Result<String, String>> {
    let value = environment.get(name)?;
    Some(value.into_string().map_err(|_| "is not UTF-8 text".to_owned()))
}

/// What stands in a secret's file.
fn secret(path: &str) -> Result<String, String> {
    let value = std::fs::read_to_string(path)
        .map_err(|error| format!("{path:?} cannot be read: {error}"))?;
    match value.trim() {
        "" => Err(format!("{path:?} is empty; write the secret into it, or name no file")),
        value => Ok(value.to_owned()),
    }
}

/// Variables with our prefix that mean nothing: a slip of the pen leaves a default in force, so it
/// is worth a warning. No more than that, for Kubernetes sets `ONCEWARD_SERVICE_HOST` and the like
/// in every pod beside a Service called onceward.
pub fn strangers(environment: &dyn Environment) -> Vec<String> {
    let mut strangers = environment.names();
    strangers.retain(|name| name.strip_prefix(PREFIX).is_some_and(|short| !is_known(short)));
    strangers.sort();
    strangers
}

fn is_known(short: &str) -> bool {
    vars::VARS.iter().any(|var| {
        short == var.name || (var.secret && short.strip_suffix("_FILE") == Some(var.name))
    })
}
