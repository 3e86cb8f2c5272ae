//! What the guard's one byte says, and who may write it.
//!
//! ```text
//! OPEN ──try_commit──▶ won by a contender ──permit dropped──▶ ABANDONED ──reclaim──▶ RECLAIMED
//!   └────client_gone──▶ CLIENT_GONE ◀──────────client_gone───────────┘
//! ```
//!
//! Every state but `OPEN` and `ABANDONED` is final. A value names its winner, so that nothing else has to be published
//! with it: a loser learns from the failed exchange alone to whom it lost.

/// Nobody has answered. Anyone may write.
pub(super) const OPEN: u8 = 0;
/// Attempt `n` won: `FIRST_ATTEMPT + n`. Only that attempt's permit may write on, to [`ABANDONED`].
pub(super) const FIRST_ATTEMPT: u8 = 1;
/// The last value an attempt can have.
pub(super) const LAST_ATTEMPT: u8 = 199;
/// A deadline won.
pub(super) const TIMEOUT: u8 = 200;
/// An answer that needed no backend won.
pub(super) const LOCAL: u8 = 201;
/// The panic handler won.
pub(super) const PANIC: u8 = 202;
/// The end of a drain won.
pub(super) const DRAIN: u8 = 203;
/// Nobody is left to be answered. Final.
pub(super) const CLIENT_GONE: u8 = 204;
/// The winner gave its permit up. One reclaimer may write [`RECLAIMED`].
pub(super) const ABANDONED: u8 = 205;
/// A withdrawal won.
pub(super) const WITHDRAWN: u8 = 207;
/// The abandoned answer was taken over. Final, unless its permit is given up, too.
pub(super) const RECLAIMED: u8 = 206;

/// Who could answer a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contender {
    /// An attempt, counted from 0.
    Attempt(u8),
    /// A deadline.
    Timeout,
    /// An answer that needs no backend: refused, no route, unreachable.
    Local,
    /// The panic handler.
    Panic,
    /// The end of a drain.
    Drain,
    /// The withdrawal of the patch that the request was for.
    Withdrawn,
    /// The client itself, by leaving.
    ClientGone,
    /// Whoever takes over an answer that its winner gave up.
    Reclaimed,
}

impl Contender {
    /// The label in metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Attempt(_) => "attempt",
            Self::Timeout => "timeout",
            Self::Local => "local",
            Self::Panic => "panic",
            Self::Drain => "drain",
            Self::ClientGone => "client_gone",
            Self::Reclaimed => "reclaimed",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// The label's index: see `patchgate_commits_total`.
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Attempt(_) => 0,
            Self::Timeout => 1,
            Self::Local => 2,
            Self::Panic => 3,
            Self::Drain => 4,
            Self::ClientGone => 5,
            Self::Reclaimed => 6,
            Self::Withdrawn => 7,
        }
    }

    pub(super) fn encode(self) -> u8 {
        match self {
            Self::Attempt(index) => FIRST_ATTEMPT + index.min(LAST_ATTEMPT - FIRST_ATTEMPT),
            Self::Timeout => TIMEOUT,
            Self::Local => LOCAL,
            Self::Panic => PANIC,
            Self::Drain => DRAIN,
            Self::ClientGone => CLIENT_GONE,
            Self::Reclaimed => RECLAIMED,
            Self::Withdrawn => WITHDRAWN,
        }
    }

    /// `None` while nobody has won, or nobody any more.
    pub(super) fn decode(state: u8) -> Option<Self> {
        match state {
            FIRST_ATTEMPT..=LAST_ATTEMPT => Some(Self::Attempt(state - FIRST_ATTEMPT)),
            TIMEOUT => Some(Self::Timeout),
            LOCAL => Some(Self::Local),
            PANIC => Some(Self::Panic),
            DRAIN => Some(Self::Drain),
            CLIENT_GONE => Some(Self::ClientGone),
            RECLAIMED => Some(Self::Reclaimed),
            WITHDRAWN => Some(Self::Withdrawn),
            _ => None,
        }
    }
}
