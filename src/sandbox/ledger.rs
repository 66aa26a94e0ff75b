//! The ledger: one JSON line for every time money moved, on disk before anybody is told.
//!
//! Append-only, so a sandbox that was killed and started again continues where it was. A line that
//! was cut by the kill is kept, ended and reported, never counted: its answer was never sent.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, Write},
    path::Path,
    time::SystemTime,
};

use serde::{Deserialize, Serialize};

use super::amount::Amount;

/// What moved the money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A call of `/order/pay`.
    Charge,
    /// The simulated shopper paid a created order.
    Shopper,
    /// Money given back, by `/order/refund` or by cancelling a paid order.
    Refund,
}

/// One effect, as it stands in the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// When, in RFC 3339 (UTC, milliseconds).
    pub at: String,
    /// What moved the money.
    pub kind: Kind,
    /// The order number.
    pub order: String,
    /// How much.
    pub amount: Amount,
    /// The charge: unique for `charge` and `shopper`; a `refund` names the charge it gives back.
    #[serde(rename = "tradeNo")]
    pub trade_no: String,
    /// The `Idempotency-Key` header of the request, as received.
    pub key: Option<String>,
    /// The `Onceward-Fence` header of the request, as received.
    pub fence: Option<String>,
    /// The refund number; none where a cancel gave the money back.
    #[serde(rename = "refundId", default, skip_serializing_if = "Option::is_none")]
    pub refund_id: Option<String>,
}

/// The current time as a ledger line writes it.
pub(super) fn now() -> String {
    humantime::format_rfc3339_millis(SystemTime::now()).to_string()
}

/// What a ledger file says.
#[derive(Debug, Default)]
pub struct Reading {
    /// Every whole line, oldest first.
    pub lines: Vec<Line>,
    /// Numbers (from 1) of lines that are no ledger line: each one is a write that was cut.
    pub damaged: Vec<usize>,
    /// The file does not end with a newline.
    unended: bool,
}

impl Reading {
    /// How often `order` was paid, by `/order/pay` or by the shopper. Once is the promise.
    pub fn charges(&self, order: &str) -> usize {
        self.of(order).filter(|line| line.kind != Kind::Refund).count()
    }

    /// How often money of `order` was given back.
    pub fn refunds(&self, order: &str) -> usize {
        self.of(order).filter(|line| line.kind == Kind::Refund).count()
    }

    /// The effects of `order`, oldest first.
    pub fn of(&self, order: &str) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(move |line| line.order == order)
    }
}

/// Reads the ledger file at `path`. Safe while a sandbox is writing it.
///
/// # Errors
/// The file cannot be read; damaged lines are no error, they are listed.
pub fn read(path: &Path) -> io::Result<Reading> {
    let mut file = BufReader::new(File::open(path)?);
    let mut reading = Reading::default();
    let mut bytes = Vec::new();
    for number in 1.. {
        bytes.clear();
        if file.read_until(b'\n', &mut bytes)? == 0 {
            break;
        }
        reading.unended = bytes.last() != Some(&b'\n');
        match serde_json::from_slice(&bytes) {
            Ok(line) => reading.lines.push(line),
            Err(_) => reading.damaged.push(number),
        }
    }
    Ok(reading)
}

/// The open ledger of a running sandbox. Its calls block on the disk.
#[derive(Debug)]
pub struct Ledger {
    file: File,
    unended: bool,
    broken: bool,
}

impl Ledger {
    /// Opens the file at `path`, or creates it, and reads what it already says.
    ///
    /// # Errors
    /// The file cannot be created, opened or read.
    pub fn open(path: &Path) -> io::Result<(Self, Reading)> {
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        // The name must survive a crash too, not only the lines.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
        let reading = read(path)?;
        let unended = reading.unended;
        Ok((Self { file, unended, broken: false }, reading))
    }

    /// Writes `lines` and returns once they are on disk.
    ///
    /// # Errors
    /// The disk refused. Nobody knows then which bytes it holds, so every later call fails as well:
    /// only a restart, which reads the file again, makes the sandbox an honest judge.
    pub fn append(&mut self, lines: &[Line]) -> io::Result<()> {
        if self.broken {
            return Err(io::Error::other("the ledger failed earlier; restart the sandbox"));
        }
        let mut bytes = Vec::new();
        if self.unended {
            bytes.push(b'\n');
        }
        for line in lines {
            serde_json::to_writer(&mut bytes, line)?;
            bytes.push(b'\n');
        }
        self.broken = true;
        self.file.write_all(&bytes)?;
        self.file.sync_data()?;
        self.broken = false;
        self.unended = false;
        Ok(())
    }

    /// Whether an earlier write failed, see [`Ledger::append`].
    pub fn is_broken(&self) -> bool {
        self.broken
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may end in a panic")]
mod tests {
    use super::*;

    fn line(order: &str, kind: Kind) -> Line {
        Line {
            at: now(),
            kind,
            order: order.to_owned(),
            amount: serde_json::json!("9.90").try_into().unwrap(),
            trade_no: "T1".to_owned(),
            key: Some("k".to_owned()),
            fence: None,
            refund_id: None,
        }
    }

    #[test]
    fn a_line_is_written_as_the_documents_say() {
        let mut value = serde_json::to_value(line("A", Kind::Charge)).unwrap();
        value["at"] = "2024-01-01T00:00:00.000Z".into();
        let expected = r#"{"at":"2024-01-01T00:00:00.000Z","kind":"charge","order":"A",
            "amount":"9.90","tradeNo":"T1","key":"k","fence":null}"#;
        assert_eq!(value, serde_json::from_str::<serde_json::Value>(expected).unwrap());
    }

    #[test]
    fn a_torn_last_line_is_reported_and_the_next_line_stands_on_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        let (mut ledger, _) = Ledger::open(&path).unwrap();
        ledger.append(&[line("A", Kind::Charge), line("B", Kind::Shopper)]).unwrap();
        let whole = std::fs::metadata(&path).unwrap().len();
        OpenOptions::new().write(true).open(&path).unwrap().set_len(whole - 10).unwrap();

        let (mut ledger, reading) = Ledger::open(&path).unwrap();
        assert_eq!((reading.charges("A"), reading.charges("B")), (1, 0));
        assert_eq!(reading.damaged, [2]);

        ledger.append(&[line("C", Kind::Charge)]).unwrap();
        ledger.append(&[line("C", Kind::Refund)]).unwrap();
        let reading = read(&path).unwrap();
        assert_eq!((reading.charges("C"), reading.refunds("C")), (1, 1));
        assert_eq!(reading.damaged, [2]);
    }

    #[test]
    fn a_whole_last_line_without_its_newline_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        let text = serde_json::to_string(&line("A", Kind::Charge)).unwrap();
        std::fs::write(&path, text).unwrap();

        let (mut ledger, _) = Ledger::open(&path).unwrap();
        ledger.append(&[line("A", Kind::Charge)]).unwrap();
        let reading = read(&path).unwrap();
        assert_eq!((reading.charges("A"), reading.damaged.len()), (2, 0));
    }

    #[test]
    fn after_a_failed_write_the_ledger_refuses_to_judge() {
        let (mut ledger, _) = Ledger::open(&tempfile::tempdir().unwrap().path().join("l")).unwrap();
        ledger.file = OpenOptions::new().append(true).open("/dev/full").unwrap();
        assert!(ledger.append(&[line("A", Kind::Charge)]).is_err());
        assert!(ledger.is_broken());
        let again = ledger.append(&[line("A", Kind::Charge)]).unwrap_err();
        assert!(again.to_string().contains("restart"), "{again}");
    }
}
