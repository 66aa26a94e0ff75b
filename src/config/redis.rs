//! Where Redis is, from its several variables.

use super::read::{Problem, Values};
use super::units::one_of;
use crate::store::link::{Mode, Place, Source};
use std::path::PathBuf;
use std::sync::Arc;

/// Reads and judges them; `None` when any was bad, the problems say which.
pub(super) fn place(values: &Values<'_>, problems: &mut Vec<Problem>) -> Option<Arc<Place>> {
    const MODES: [(&str, Mode); 3] = [
        ("standalone", Mode::Standalone),
        ("sentinel", Mode::Sentinel),
        ("cluster", Mode::Cluster),
    ];
    let mode = values.read("REDIS_MODE", problems, |text| one_of(text, &MODES));
    let master = values.read("REDIS_MASTER_NAME", problems, |text| match text {
        "" => Err("expected the name Sentinels know the primary by".to_owned()),
        name => Ok(name.to_owned()),
    });
    let ca_file = values.read("REDIS_CA_FILE", problems, readable);
    let certificate = values.read("REDIS_CERT_FILE", problems, readable);
    let key = values.read("REDIS_KEY_FILE", problems, |text| {
        let key = readable(text)?;
        match certificate.as_ref().is_some_and(|other| other.is_some() != key.is_some()) {
            true => Err("REDIS_CERT_FILE and REDIS_KEY_FILE go together".into()),
            false => Ok(key),
        }
    });
    let identity = certificate?.zip(key?);
    let source = |urls: &str| -> Option<Source> {
        Some(Source {
            mode: mode?,
            urls: urls.to_owned(),
            urls_file: values.file("REDIS_URL"),
            master: master.clone()?,
            ca_file: ca_file.clone()?,
            identity: identity.clone(),
        })
    };
    let place = values.read("REDIS_URL", problems, |urls| match source(urls) {
        Some(source) => Place::new(source).map(Some),
        None => Ok(None),
    });
    place.flatten().map(Arc::new)
}

/// A file's path, where one is named; it must be readable now.
fn readable(text: &str) -> Result<Option<PathBuf>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    match std::fs::File::open(text) {
        Ok(_) => Ok(Some(text.into())),
        Err(error) => Err(format!("{text:?} cannot be read: {error}")),
    }
}
