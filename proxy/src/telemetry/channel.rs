//! A channel: the bounded way of encoded spans from the workers to one exporter.
//!
//! There are two, normal and canary, so that neither's flood can starve the other. Workers hand over chunks of many
//! spans; a chunk that finds no room is dropped and counted, and nobody waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::sync::mpsc;

/// Which channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// Sampled stable traffic.
    Normal = 0,
    /// Marked, canary and control requests.
    Canary = 1,
}

/// Encoded spans.
#[derive(Debug, Default)]
pub struct Chunk {
    /// Elements of `ScopeSpans.spans`.
    pub bytes: Vec<u8>,
    /// How many.
    pub spans: usize,
}

/// What became of a channel's spans.
#[derive(Debug, Default)]
pub struct ChannelCounts {
    accepted: AtomicU64,
    exported: AtomicU64,
    failed: AtomicU64,
    dropped_spans: AtomicU64,
    dropped_bytes: AtomicU64,
}

/// The workers' end.
#[derive(Debug, Clone)]
pub struct Sender {
    chunks: mpsc::UnboundedSender<Chunk>,
    waiting: Arc<Waiting>,
    counts: Arc<ChannelCounts>,
}

/// The exporter's end.
#[derive(Debug)]
pub struct Receiver {
    chunks: mpsc::UnboundedReceiver<Chunk>,
    waiting: Arc<Waiting>,
}

/// What was accepted and not yet taken, and the bounds on it.
#[derive(Debug)]
struct Waiting {
    spans: AtomicUsize,
    bytes: AtomicUsize,
    most_spans: AtomicUsize,
    most_bytes: AtomicUsize,
}

/// A channel with its counts.
#[must_use]
pub fn channel(counts: &Arc<ChannelCounts>) -> (Sender, Receiver) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let waiting = Arc::new(Waiting {
        spans: AtomicUsize::new(0),
        bytes: AtomicUsize::new(0),
        most_spans: AtomicUsize::new(0),
        most_bytes: AtomicUsize::new(0),
    });
    let sender = Sender { chunks: sender, waiting: Arc::clone(&waiting), counts: Arc::clone(counts) };
    (sender, Receiver { chunks: receiver, waiting })
}

impl Sender {
    /// Sets the bounds.
    pub fn bound(&self, spans: usize, bytes: usize) {
        // Relaxed: bounds, not a hand-over.
        self.waiting.most_spans.store(spans, Ordering::Relaxed);
        self.waiting.most_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Hands a chunk over, or drops and counts it.
    pub fn offer(&self, chunk: Chunk) {
        let (spans, bytes) = (chunk.spans, chunk.bytes.len());
        let waiting = &self.waiting;
        // Relaxed: two workers may together pass a bound by a chunk each; it is there to bound memory.
        if waiting.spans.load(Ordering::Relaxed) + spans > waiting.most_spans.load(Ordering::Relaxed) {
            self.counts.dropped_spans.fetch_add(spans as u64, Ordering::Relaxed);
        } else if waiting.bytes.load(Ordering::Relaxed) + bytes > waiting.most_bytes.load(Ordering::Relaxed) {
            self.counts.dropped_bytes.fetch_add(spans as u64, Ordering::Relaxed);
        } else {
            waiting.spans.fetch_add(spans, Ordering::Relaxed);
            waiting.bytes.fetch_add(bytes, Ordering::Relaxed);
            self.counts.accepted.fetch_add(spans as u64, Ordering::Relaxed);
            if let Err(mpsc::error::SendError(chunk)) = self.chunks.send(chunk) {
                self.counts.failed(chunk.spans);
            }
        }
    }
}

impl Receiver {
    /// The next chunk; `None` once every sender is gone and nothing waits.
    pub async fn next(&mut self) -> Option<Chunk> {
        let chunk = self.chunks.recv().await?;
        Some(self.taken(chunk))
    }

    /// The next chunk, if one waits.
    pub fn try_next(&mut self) -> Option<Chunk> {
        let chunk = self.chunks.try_recv().ok()?;
        Some(self.taken(chunk))
    }

    fn taken(&self, chunk: Chunk) -> Chunk {
        self.waiting.spans.fetch_sub(chunk.spans, Ordering::Relaxed);
        self.waiting.bytes.fetch_sub(chunk.bytes.len(), Ordering::Relaxed);
        chunk
    }
}

impl ChannelCounts {
    pub(super) fn exported(&self, spans: usize) {
        self.exported.fetch_add(spans as u64, Ordering::Relaxed);
    }

    pub(super) fn failed(&self, spans: usize) {
        self.failed.fetch_add(spans as u64, Ordering::Relaxed);
    }

    /// Every count with its label. `accepted` = `exported` + `failed` + what is under way.
    #[must_use]
    pub fn all(&self) -> [(&'static str, u64); 5] {
        [
            ("accepted", self.accepted.load(Ordering::Relaxed)),
            ("exported", self.exported.load(Ordering::Relaxed)),
            ("failed", self.failed.load(Ordering::Relaxed)),
            ("dropped_spans", self.dropped_spans.load(Ordering::Relaxed)),
            ("dropped_bytes", self.dropped_bytes.load(Ordering::Relaxed)),
        ]
    }

    /// Spans that found room.
    pub(super) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Spans that did not arrive at a collector: failed or dropped.
    pub(super) fn lost(&self) -> u64 {
        [&self.failed, &self.dropped_spans, &self.dropped_bytes].iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(spans: usize, bytes: usize) -> Chunk {
        Chunk { bytes: vec![0; bytes], spans }
    }

    #[test]
    fn both_bounds_drop_and_count() {
        let counts = Arc::new(ChannelCounts::default());
        let (sender, mut receiver) = channel(&counts);
        sender.bound(10, 100);
        sender.offer(chunk(6, 60));
        sender.offer(chunk(5, 1));
        sender.offer(chunk(1, 41));
        sender.offer(chunk(4, 40));
        assert_eq!(
            counts.all(),
            [("accepted", 10), ("exported", 0), ("failed", 0), ("dropped_spans", 5), ("dropped_bytes", 1)]
        );
        assert_eq!(receiver.try_next().unwrap().spans, 6);
        sender.offer(chunk(6, 60));
        assert_eq!(counts.all()[0], ("accepted", 16));
    }

    #[test]
    fn without_bounds_set_nothing_is_accepted() {
        let counts = Arc::new(ChannelCounts::default());
        let (sender, _receiver) = channel(&counts);
        sender.offer(chunk(1, 1));
        assert_eq!(counts.all()[3], ("dropped_spans", 1));
    }

    #[test]
    fn an_exporter_that_is_gone_fails_what_is_offered() {
        let counts = Arc::new(ChannelCounts::default());
        let (sender, receiver) = channel(&counts);
        sender.bound(10, 100);
        drop(receiver);
        sender.offer(chunk(2, 2));
        assert_eq!((counts.all()[0], counts.all()[2]), (("accepted", 2), ("failed", 2)));
    }
}
