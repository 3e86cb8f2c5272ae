//! Where records are: one point for every 64 KiB of log, in memory.
//!
//! A reader goes to the point before and walks from there. Points are made at beginnings of batches only.

use crate::store::Sequence;

/// Bytes of log between two points, at least.
const SPACING: u64 = 64 * 1024;

/// The points of all segments.
#[derive(Debug, Default)]
pub(super) struct Index {
    segments: Vec<Segment>,
}

#[derive(Debug)]
struct Segment {
    first: Sequence,
    /// Sequences and their offsets; the first is that of the first frame.
    points: Vec<(Sequence, u64)>,
}

/// A frame from which a record can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Point {
    /// The first record of the segment.
    pub segment: Sequence,
    /// The record of the frame.
    pub sequence: Sequence,
    /// Where the frame begins.
    pub offset: u64,
}

impl Index {
    /// Notes that a batch begins at `point`, which is behind all others.
    pub(super) fn note(&mut self, point: Point) {
        let at = (point.sequence, point.offset);
        match self.segments.last_mut().filter(|last| last.first == point.segment) {
            Some(last) => {
                if last.points.last().is_none_or(|&(_, offset)| point.offset >= offset + SPACING) {
                    last.points.push(at);
                }
            }
            None => self.segments.push(Segment { first: point.segment, points: vec![at] }),
        }
    }

    /// The last point at or before `sequence`.
    pub(super) fn locate(&self, sequence: Sequence) -> Option<Point> {
        let after = self.segments.partition_point(|segment| segment.first <= sequence);
        let segment = self.segments.get(after.checked_sub(1)?)?;
        let after = segment.points.partition_point(|&(point, _)| point <= sequence);
        let &(sequence, offset) = segment.points.get(after.checked_sub(1)?)?;
        Some(Point { segment: segment.first, sequence, offset })
    }
}
