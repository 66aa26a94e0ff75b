//! A child process and its children: what they use, and their end.

use std::fs;
use std::io;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Linux tells times in /proc in hundredths of a second, whatever its clock (man 5 proc).
const TICKS_PER_SECOND: f64 = 100.0;

/// A running process; ended when dropped.
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts it; what it writes to its standard error is shown.
    pub(crate) fn start(command: &mut Command) -> io::Result<Process> {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
        Ok(Process { child })
    }

    /// Its id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub(crate) fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// CPU seconds, user and system, of it and its children so far.
    pub(crate) fn cpu(&self) -> f64 {
        family(self.id()).iter().filter_map(|pid| ticks(*pid)).sum::<f64>() / TICKS_PER_SECOND
    }

    /// The most memory it and its children ever held, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        family(self.id()).iter().filter_map(|pid| status(*pid, "VmHWM:")).sum::<u64>() * 1024
    }

    /// Asks it to end and waits for that.
    fn end(&mut self) {
        if !self.runs() {
            return;
        }
        let _ = Command::new("kill").arg(self.id().to_string()).status();
        for _ in 0..3000 {
            if !self.runs() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// A process and those it started.
fn family(parent: u32) -> Vec<u32> {
    let all = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let child = |pid: &u32| *pid == parent || field(*pid, 4) == Some(f64::from(parent));
    pids.filter(child).collect()
}

/// User and system time: the 14th and 15th field.
fn ticks(pid: u32) -> Option<f64> {
    Some(field(pid, 14)? + field(pid, 15)?)
}

/// A field of /proc/PID/stat, counted from 1; those before the third cannot be had this way, for
/// the second is a name in brackets that may hold spaces.
fn field(pid: u32, number: usize) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split(' ').nth(number - 3)?.parse().ok()
}

/// A number of kilobytes in /proc/PID/status.
fn status(pid: u32, name: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}
