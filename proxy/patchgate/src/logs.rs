//! Log lines on their way to standard error. Whoever logs puts a whole line into a bounded queue and goes on; a thread
//! of its own writes. A reader that stalls costs lines, which are counted and told of, and holds up nobody.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// Most bytes that wait. Counted in bytes, since one line may be the report of a whole configuration.
const CAPACITY: usize = 1024 * 1024;

/// Where lines are put.
#[derive(Debug, Clone)]
pub(crate) struct Lines(Arc<Queue>);

/// One line while it is made; put into the queue when it is dropped.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    queue: &'a Queue,
    text: Vec<u8>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    /// A line came or was written.
    moved: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: VecDeque<Vec<u8>>,
    /// Of those lines.
    bytes: usize,
    /// Whether a line has left them that is not written yet.
    writing: bool,
    /// Lines that found no room and have not been told of.
    dropped: u64,
}

// === impl Lines ===

impl Lines {
    /// Starts the thread that writes to `output`. It calls `tell` with the number of lines that were dropped, once
    /// there is room for a line about them.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(crate) fn to(mut output: impl Write + Send + 'static, tell: impl Fn(u64) + Send + 'static) -> io::Result<Self> {
        let queue = Arc::<Queue>::default();
        let written = Arc::clone(&queue);
        // It ends with the process.
        std::thread::Builder::new().name("logs".to_owned()).spawn(move || {
            loop {
                written.write_next(&mut output, &tell);
            }
        })?;
        Ok(Self(queue))
    }

    /// Waits until all lines so far are written, but not longer than `within`.
    pub(crate) fn flush(&self, within: Duration) {
        // Either way there is nothing more to be done.
        let _ = self.0.moved.wait_timeout_while(self.0.lock(), within, |waiting| waiting.writing || waiting.bytes > 0);
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { queue: &self.0, text: Vec::new() }
    }
}

// === impl Line ===

impl Write for Line<'_> {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        self.queue.put(std::mem::take(&mut self.text));
    }
}

// === impl Queue ===

impl Queue {
    fn put(&self, line: Vec<u8>) {
        let mut waiting = self.lock();
        // A line larger than the queue fits if it is alone.
        if waiting.bytes > 0 && waiting.bytes + line.len() > CAPACITY {
            waiting.dropped += 1;
            return;
        }
        waiting.bytes += line.len();
        waiting.lines.push_back(line);
        self.moved.notify_all();
    }

    fn write_next(&self, output: &mut impl Write, tell: &impl Fn(u64)) {
        let mut waiting = self.lock();
        let line = loop {
            match waiting.lines.pop_front() {
                Some(line) => break line,
                None => waiting = self.moved.wait(waiting).unwrap_or_else(PoisonError::into_inner),
            }
        };
        waiting.bytes -= line.len();
        waiting.writing = true;
        drop(waiting);
        // Whoever could be told of an error reads what cannot be written.
        let _ = output.write_all(&line).and_then(|()| output.flush());
        let dropped = self.take_dropped();
        if dropped > 0 {
            tell(dropped);
        }
        // Only now: a flush waits for the line about the dropped ones, too.
        self.lock().writing = false;
        self.moved.notify_all();
    }

    /// How many lines were dropped, once half of the queue is free again.
    fn take_dropped(&self) -> u64 {
        let mut waiting = self.lock();
        if waiting.bytes > CAPACITY / 2 { 0 } else { std::mem::take(&mut waiting.dropped) }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Far longer than anything here takes.
    const LONG: Duration = Duration::from_secs(60);

    /// An output whose reader takes a line when it is told to.
    struct Slow {
        started: Sender<()>,
        go_on: Receiver<()>,
        text: Arc<Mutex<String>>,
    }

    impl Write for Slow {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            // The test may have ended.
            let _ = (self.started.send(()), self.go_on.recv());
            self.text.lock().unwrap().push_str(std::str::from_utf8(line).unwrap());
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Lines to a slow output; what it said, and how many lines were told to be dropped.
    struct Scene {
        lines: Lines,
        started: Receiver<()>,
        go_on: Sender<()>,
        text: Arc<Mutex<String>>,
        told: Receiver<u64>,
    }

    fn scene() -> Scene {
        let ((started, has_started), (go_on, may_go_on), (tell, told)) = (channel(), channel(), channel());
        let text = Arc::<Mutex<String>>::default();
        let output = Slow { started, go_on: may_go_on, text: Arc::clone(&text) };
        let lines = Lines::to(output, move |lines| tell.send(lines).unwrap()).unwrap();
        Scene { lines, started: has_started, go_on, text, told }
    }

    fn log(lines: &Lines, text: &str) {
        let mut line = lines.make_writer();
        let (first, second) = text.split_at(text.len() / 2);
        line.write_all(first.as_bytes()).and_then(|()| line.write_all(second.as_bytes())).unwrap();
    }

    #[test]
    fn lines_come_out_whole_and_in_order_and_a_flush_waits_for_them() {
        let scene = scene();
        for line in ["one\n", "two\n", "three\n"] {
            log(&scene.lines, line);
            scene.go_on.send(()).unwrap();
        }
        scene.lines.flush(LONG);
        assert_eq!(*scene.text.lock().unwrap(), "one\ntwo\nthree\n");
        assert!(scene.told.try_recv().is_err());
    }

    #[test]
    fn a_stalled_reader_holds_up_neither_who_logs_nor_the_end() {
        let scene = scene();
        log(&scene.lines, "stuck\n");
        scene.started.recv().unwrap();
        let line = "x".repeat(CAPACITY / 4);
        for _ in 0..7 {
            log(&scene.lines, &line);
        }
        scene.lines.flush(Duration::from_millis(1));
        assert_eq!(*scene.text.lock().unwrap(), "");

        // The stuck one and the four that found room; of the others it is told once half of the room is free.
        for _ in 0..5 {
            scene.go_on.send(()).unwrap();
        }
        assert_eq!(scene.told.recv().unwrap(), 3);
        scene.lines.flush(LONG);
        assert_eq!(scene.text.lock().unwrap().len(), "stuck\n".len() + CAPACITY);
        assert!(scene.told.try_recv().is_err(), "told once");
    }

    #[test]
    fn a_line_larger_than_the_queue_is_taken_alone() {
        let scene = scene();
        log(&scene.lines, &"x".repeat(2 * CAPACITY));
        scene.go_on.send(()).unwrap();
        scene.lines.flush(LONG);
        assert_eq!(scene.text.lock().unwrap().len(), 2 * CAPACITY);
    }
}
