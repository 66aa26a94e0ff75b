//! Children that cannot outlive us.
//!
//! Between us and a child stands a shell that reads a pipe we hold. A line on the pipe names a
//! signal for the child. The pipe's end is our end, kill -9 included: the child is killed then. The
//! shell ends when the child does, with its status.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::timeout;

/// What a shell ends with when there is no such program.
const NOT_FOUND: i32 = 127;

/// A shell reports a child that died of signal N as 128 + N.
const SIGNALLED: i32 = 128;

/// Tells the child's pid, then waits for the child while a watcher of its own reads the pipe. What
/// the child prints goes to standard error.
const SHELL: &str = r#"
command -v "$1" >/dev/null || exit 127
exec 3<&0
"$@" </dev/null >&2 3<&- &
child=$!
(
    while read -r signal <&3; do kill -s "$signal" "$child"; done
    kill -s KILL "$child"
) >/dev/null 2>&1 &
watcher=$!
echo "$child"
# Some shells print a line of their own about a child that was killed.
exec 3<&- 2>/dev/null
wait "$child"
status=$?
kill "$watcher"
exit "$status"
"#;

/// Why a child did not start.
#[derive(Debug, thiserror::Error)]
pub(super) enum SpawnError {
    #[error("there is no such program")]
    NotFound,
    #[error("its shell ended at once")]
    Shell,
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// By itself.
    Status(i32),
    /// By a signal.
    Signal(i32),
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ended::Status(code) => write!(f, "exit status {code}"),
            Ended::Signal(number) => write!(f, "signal {number}"),
        }
    }
}

/// A running child. Dropping it kills the child, without waiting.
pub(super) struct Leashed {
    shell: Child,
    pipe: ChildStdin,
    /// The child's own pid, not its shell's.
    pub(super) pid: u32,
}

impl Leashed {
    /// Starts a program with more variables than ours.
    pub(super) async fn spawn<A: AsRef<OsStr>>(
        program: impl AsRef<OsStr>,
        arguments: &[A],
        variables: &[(String, String)],
    ) -> Result<Leashed, SpawnError> {
        let mut shell = Command::new("/bin/sh")
            .args(["-c", SHELL, "sh"])
            .arg(program)
            .args(arguments)
            .envs(variables.iter().map(|(name, value)| (name, value)))
            // Ctrl-C in a terminal reaches a whole process group: ours decides who ends when.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (Some(pipe), Some(output)) = (shell.stdin.take(), shell.stdout.take()) else {
            return Err(SpawnError::Shell);
        };
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).await?;
        match line.trim_end().parse() {
            Ok(pid) => Ok(Leashed { shell, pipe, pid }),
            Err(_) if shell.wait().await?.code() == Some(NOT_FOUND) => Err(SpawnError::NotFound),
            Err(_) => Err(SpawnError::Shell),
        }
    }

    /// Waits for the child's end. May be dropped and asked again.
    pub(super) async fn ended(&mut self) -> Ended {
        match self.shell.wait().await {
            Ok(status) => ended(status),
            // The shell is no child of ours any more; neither is the other.
            Err(_) => Ended::Status(NOT_FOUND),
        }
    }

    /// Sends SIGTERM and waits for the end; kills when it takes longer than `patience`.
    pub(super) async fn terminate(mut self, patience: Duration) {
        // A pipe that is closed already means that the child has ended.
        let _ = self.pipe.write_all(b"TERM\n").await;
        if timeout(patience, self.shell.wait()).await.is_err() {
            drop(self.pipe);
            let _ = self.shell.wait().await;
        }
    }
}

fn ended(status: ExitStatus) -> Ended {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) if code > SIGNALLED => Ended::Signal(code - SIGNALLED),
        (Some(code), _) => Ended::Status(code),
        (None, signal) => Ended::Signal(signal.unwrap_or_default()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    async fn shell(script: &str) -> Leashed {
        Leashed::spawn("/bin/sh", &["-c", script], &[]).await.unwrap()
    }

    #[tokio::test]
    async fn the_end_of_a_child_is_told_as_it_was() {
        let how = shell("exit 64").await.ended().await;
        assert_eq!(how, Ended::Status(64));
        let how = shell("kill -9 $$").await.ended().await;
        assert_eq!(how, Ended::Signal(9));
    }

    #[tokio::test]
    async fn a_program_that_is_not_installed_is_no_mystery() {
        let none: [&str; 0] = [];
        let spawned = Leashed::spawn("onceward-no-such-program", &none, &[]).await;
        assert!(matches!(spawned, Err(SpawnError::NotFound)));
    }

    #[tokio::test]
    async fn a_child_is_asked_before_it_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let (up, last) = (folder.path().join("up"), folder.path().join("last"));
        let script = format!(
            "trap 'echo bye > {}; exit 0' TERM; : > {}; while :; do sleep 0.01; done",
            last.display(),
            up.display()
        );
        let child = shell(&script).await;
        while !up.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        child.terminate(LONG).await;
        assert_eq!(std::fs::read_to_string(last).unwrap(), "bye\n");
    }

    #[tokio::test]
    async fn a_child_that_does_not_listen_is_killed() {
        let child = shell("trap '' TERM; while :; do sleep 0.01; done").await;
        let pid = child.pid;
        child.terminate(Duration::from_millis(50)).await;
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    }

    #[tokio::test]
    async fn the_end_of_the_pipe_is_the_end_of_the_child() {
        let Leashed { mut shell, pipe, .. } = shell("exec sleep 1000").await;
        drop(pipe);
        let status = timeout(LONG, shell.wait()).await.unwrap().unwrap();
        assert_eq!(ended(status), Ended::Signal(9));
    }
}
