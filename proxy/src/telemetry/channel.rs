//! A channel: the bounded way of encoded spans from the workers to one exporter.
//!
//! There are two, normal and canary, so that neither's flood can starve the other. Workers hand over chunks of many
//! spans; a chunk that finds no room is dropped and counted, and nobody waits. Buffers of chunks that were shipped come
//! back to be filled again: the pages of a new one cost more than the spans written there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use crossbeam_queue::ArrayQueue;
use tokio::sync::mpsc;

/// Spans after which a worker hands its chunk over. While the exporter keeps up each chunk wakes it and is a request of
/// its own, so few spans are dear; many are more than the caches keep until they are sent.
const CHUNK_SPANS: usize = 256;

/// Bytes after which a worker hands its chunk over: less than 256 KiB by what one request may add, so that this is
/// where a growing buffer ends.
const CHUNK_BYTES: usize = 240 * 1024;

/// A chunk has at most this share of what may wait, or narrow bounds would let none pass.
const CHUNKS_WAITING: usize = 4;

/// Buffers that are kept for their next use.
const SPARES: usize = 4;

/// Which channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// Sampled stable traffic.
    Normal = 0,
    /// Marked, canary and control requests.
    Canary = 1,
}

/// Encoded spans, as a worker gathers them.
#[derive(Debug, Default)]
pub struct Chunk {
    /// Elements of `ScopeSpans.spans`.
    pub bytes: Vec<u8>,
    /// How many.
    pub spans: usize,
}

/// Encoded spans on their way. Their buffer goes back once nobody holds it.
#[derive(Debug)]
pub struct Shipment {
    /// Elements of `ScopeSpans.spans`.
    pub bytes: Bytes,
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
    spares: ArrayQueue<Vec<u8>>,
}

/// A chunk's buffer while it is shipped.
#[derive(Debug)]
struct Lent {
    bytes: Vec<u8>,
    to: Arc<Waiting>,
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
        spares: ArrayQueue::new(SPARES),
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

    /// An empty chunk, in a buffer that was used before if there is one.
    #[must_use]
    pub fn chunk(&self) -> Chunk {
        Chunk { bytes: self.waiting.spares.pop().unwrap_or_default(), spans: 0 }
    }

    /// Whether a chunk is to be handed over.
    #[must_use]
    pub fn is_full(&self, chunk: &Chunk) -> bool {
        let share = |most: &AtomicUsize, usual: usize| usual.min(most.load(Ordering::Relaxed) / CHUNKS_WAITING);
        chunk.spans >= share(&self.waiting.most_spans, CHUNK_SPANS)
            || chunk.bytes.len() >= share(&self.waiting.most_bytes, CHUNK_BYTES)
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
    pub async fn next(&mut self) -> Option<Shipment> {
        let chunk = self.chunks.recv().await?;
        Some(self.taken(chunk))
    }

    /// The next chunk, if one waits.
    pub fn try_next(&mut self) -> Option<Shipment> {
        let chunk = self.chunks.try_recv().ok()?;
        Some(self.taken(chunk))
    }

    fn taken(&self, chunk: Chunk) -> Shipment {
        self.waiting.spans.fetch_sub(chunk.spans, Ordering::Relaxed);
        self.waiting.bytes.fetch_sub(chunk.bytes.len(), Ordering::Relaxed);
        let lent = Lent { bytes: chunk.bytes, to: Arc::clone(&self.waiting) };
        Shipment { bytes: Bytes::from_owner(lent), spans: chunk.spans }
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        // What finds no place is freed.
        let _ = self.to.spares.push(bytes);
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
    fn a_buffer_comes_back_once_its_spans_are_shipped() {
        let (sender, mut receiver) = channel(&Arc::default());
        sender.bound(10, 100);
        sender.offer(Chunk { bytes: Vec::with_capacity(1000), spans: 1 });
        let shipment = receiver.try_next().unwrap();
        let held = shipment.bytes.clone();
        drop(shipment);
        assert_eq!(sender.chunk().bytes.capacity(), 0, "it may be sent once more");
        drop(held);
        let chunk = sender.chunk();
        assert_eq!((chunk.bytes.len(), chunk.bytes.capacity(), chunk.spans), (0, 1000, 0));
    }

    #[test]
    fn a_chunk_is_full_before_it_could_find_no_room() {
        let (sender, _receiver) = channel(&Arc::default());
        sender.bound(65_536, 32 << 20);
        assert!(!sender.is_full(&chunk(255, 1)) && sender.is_full(&chunk(256, 1)));
        assert!(!sender.is_full(&chunk(1, 240 * 1024 - 1)) && sender.is_full(&chunk(1, 240 * 1024)));
        sender.bound(100, 1000);
        assert!(!sender.is_full(&chunk(24, 1)) && sender.is_full(&chunk(25, 1)));
        assert!(!sender.is_full(&chunk(1, 249)) && sender.is_full(&chunk(1, 250)));
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
