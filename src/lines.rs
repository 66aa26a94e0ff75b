//! Log lines on their way out. Whoever logs hands a line over and goes on: standard output may be a
//! pipe that nobody reads, and no payment waits for that.
//!
//! One thread writes what a queue of a fixed size holds. What finds it full is dropped, counted, and
//! told of once lines flow again; errors find room for longer than others. `tracing-appender` would
//! do nearly that, and bring files that roll by date, another kind of channel and a library of times
//! along.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// Bytes that may wait to be written: some thousands of lines.
const ROOM: usize = 1 << 20;

/// Bytes of them that only errors may take: an alarm names the order somebody has to look at.
const FOR_ERRORS: usize = ROOM / 4;

/// How long an end waits for what is still to be written.
const PATIENCE: Duration = Duration::from_secs(1);

/// Before another try, where the output takes nothing just now and does not wait by itself.
const AGAIN: Duration = Duration::from_millis(10);

/// Those of this process, once it has started to log.
static OURS: OnceLock<Lines> = OnceLock::new();

/// The lines that wait; clones are the same ones.
#[derive(Clone, Default)]
pub struct Lines(Arc<Shared>);

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// There is something to write.
    came: Condvar,
    /// There is nothing left.
    gone: Condvar,
    lost: Counter,
}

#[derive(Default)]
struct Waiting {
    text: Vec<u8>,
    lines: u64,
    /// The thread has lines in hand.
    is_writing: bool,
    /// Lost since that was last told.
    untold: u64,
}

/// Starts the thread that writes to standard output.
///
/// # Errors
/// When there is no thread to be had, or no output.
pub fn start() -> io::Result<Lines> {
    let out = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let lines = Lines::default();
    lines.clone().carried_to(out)?;
    // A second start is refused by whoever logs; its lines are as good as the first's.
    let _ = OURS.set(lines.clone());
    Ok(lines)
}

/// Waits until every line so far is written, for a second at most: for whoever ends the process.
pub fn flush() {
    if let Some(lines) = OURS.get() {
        lines.flush(PATIENCE);
    }
}

/// Registers what is counted.
pub fn register(registry: &mut Registry) {
    let lost = OURS.get().map(|lines| lines.0.lost.clone()).unwrap_or_default();
    registry.register(
        "log_lines_lost",
        "Log lines that were dropped, since standard output did not take them",
        lost,
    );
}

impl Lines {
    fn carried_to(self, mut out: impl Write + Send + 'static) -> io::Result<()> {
        let thread = std::thread::Builder::new().name("log".into());
        thread.spawn(move || self.carry(&mut out)).map(drop)
    }

    /// Writes whatever comes, for ever.
    fn carry(&self, out: &mut impl Write) {
        let mut text = Vec::new();
        loop {
            let lines = self.take(&mut text);
            let written = write_whole(out, &text).is_ok();
            text.clear();
            let untold = self.written(written, lines);
            // Not where nothing can be written: that line would be the next to be lost.
            if written && untold > 0 {
                tracing::warn!(lines = untold, "log lines were lost: nobody took them in time");
            }
            let mut waiting = self.waiting();
            waiting.is_writing = false;
            if waiting.text.is_empty() {
                self.0.gone.notify_all();
            }
        }
    }

    /// Waits for lines; how many there are.
    fn take(&self, text: &mut Vec<u8>) -> u64 {
        let waiting = self.0.came.wait_while(self.waiting(), |waiting| waiting.text.is_empty());
        let mut waiting = waiting.unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut waiting.text, text);
        waiting.is_writing = true;
        std::mem::take(&mut waiting.lines)
    }

    /// How many lines were lost that nobody was told of, where somebody can be.
    fn written(&self, written: bool, lines: u64) -> u64 {
        let mut waiting = self.waiting();
        if written {
            return std::mem::take(&mut waiting.untold);
        }
        waiting.untold += lines;
        self.0.lost.inc_by(lines);
        0
    }

    fn push(&self, line: &[u8], room: usize) {
        let mut waiting = self.waiting();
        if waiting.text.len() + line.len() > room {
            waiting.untold += 1;
            self.0.lost.inc();
            return;
        }
        let is_first = waiting.text.is_empty();
        waiting.text.extend_from_slice(line);
        waiting.lines += 1;
        drop(waiting);
        if is_first {
            self.0.came.notify_one();
        }
    }

    fn flush(&self, patience: Duration) {
        let under_way = |waiting: &mut Waiting| waiting.is_writing || !waiting.text.is_empty();
        let _ = self.0.gone.wait_timeout_while(self.waiting(), patience, under_way);
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes all of it. An output that was made not to wait, as some parents do, is waited for here.
fn write_whole(out: &mut impl Write, mut text: &[u8]) -> io::Result<()> {
    while !text.is_empty() {
        match out.write(text) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => text = &text[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(AGAIN),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Takes one line.
pub struct Line<'a> {
    lines: &'a Lines,
    room: usize,
}

impl Write for Line<'_> {
    /// A line comes whole, in one piece.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.lines.push(line, self.room);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { lines: self, room: ROOM - FOR_ERRORS }
    }

    fn make_writer_for(&'a self, of: &Metadata<'_>) -> Line<'a> {
        // What is lost is told here, and it is no use to lose that.
        let is_urgent = *of.level() == Level::ERROR || of.target() == module_path!();
        Line { room: if is_urgent { ROOM } else { ROOM - FOR_ERRORS }, ..self.make_writer() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    /// An output that takes nothing before it is read; broken once its reader is gone.
    struct Pipe(SyncSender<Vec<u8>>);

    impl Write for Pipe {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            let sent = self.0.send(text.to_vec());
            sent.map(|()| text.len()).map_err(|_| io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const EVER: Duration = Duration::from_secs(60);

    fn lines() -> (Lines, Receiver<Vec<u8>>) {
        let (pipe, read) = sync_channel(0);
        let lines = Lines::default();
        lines.clone().carried_to(Pipe(pipe)).expect("a thread");
        (lines, read)
    }

    /// Fills it for those whose room that is, while a first line is stuck on its way.
    fn filled(lines: &Lines, room: usize) {
        lines.push(b"first\n", room);
        while !lines.waiting().is_writing {
            std::thread::yield_now();
        }
        while lines.0.lost.get() == 0 {
            lines.push(&[b'x'; 1000], room);
        }
    }

    #[test]
    fn nobody_waits_for_a_reader_and_what_finds_no_room_is_counted() {
        let (lines, read) = lines();
        filled(&lines, ROOM - FOR_ERRORS);
        assert!(lines.waiting().text.len() <= ROOM - FOR_ERRORS);
        lines.push(&[b'y'; 1000], ROOM - FOR_ERRORS);
        assert_eq!(lines.0.lost.get(), 2);
        // An error still goes in.
        lines.push(b"an order was paid twice\n", ROOM);
        assert_eq!(lines.0.lost.get(), 2);

        lines.flush(Duration::ZERO);
        assert_eq!(read.recv_timeout(EVER).expect("read"), b"first\n");
        let rest = read.recv_timeout(EVER).expect("read");
        assert!(rest.ends_with(b"an order was paid twice\n"));
        lines.flush(EVER);
        assert_eq!(lines.waiting().untold, 0, "it was told");
    }

    #[test]
    fn an_output_that_is_gone_stops_nothing_and_is_counted() {
        let (lines, read) = lines();
        drop(read);
        for before in 0..3 {
            lines.push(b"nobody reads this\n", ROOM);
            lines.flush(EVER);
            assert_eq!(lines.0.lost.get(), before + 1);
        }
        assert_eq!(lines.waiting().untold, 3, "it is told when somebody can be");
    }

    #[test]
    fn an_output_that_does_not_wait_is_waited_for() {
        struct Busy(Vec<u8>, bool);
        impl Write for Busy {
            fn write(&mut self, text: &[u8]) -> io::Result<usize> {
                self.1 = !self.1;
                if self.1 {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                self.0.push(text[0]);
                Ok(1)
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut busy = Busy(Vec::new(), false);
        write_whole(&mut busy, b"whole\n").expect("written");
        assert_eq!(busy.0, b"whole\n");
    }
}
