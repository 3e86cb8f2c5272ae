//! Whether a request is exported, through which channel, and why. Pure.

use super::channel::Channel;

/// Why a request is exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SamplingReason {
    /// Marked, or assigned to a patch here.
    Mark,
    /// In the control slice.
    Control,
    /// Its parent was sampled.
    Parent,
    /// Its trace began here and chance chose it.
    Root,
    /// Its response carried a mark.
    Response,
}

/// An export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exported {
    /// Where to.
    pub channel: Channel,
    /// Why.
    pub reason: SamplingReason,
}

/// What the decision is taken on.
#[derive(Debug, Clone, Copy)]
pub struct Sampling {
    /// The sampled flag that backends got.
    pub sampled: bool,
    /// Marked, or on the canary or control track.
    pub raised: bool,
    /// On the control track.
    pub control: bool,
    /// There is a believed parent.
    pub parent: bool,
    /// The response carried a mark that was honoured.
    pub response_mark: bool,
}

impl SamplingReason {
    /// The value of `patch.sampling.reason`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mark => "mark",
            Self::Control => "control",
            Self::Parent => "parent",
            Self::Root => "root",
            Self::Response => "response",
        }
    }
}

/// Decides.
#[must_use]
pub const fn decide(sampling: Sampling) -> Option<Exported> {
    let (channel, reason) = if sampling.sampled && sampling.raised {
        let reason = if sampling.control { SamplingReason::Control } else { SamplingReason::Mark };
        (Channel::Canary, reason)
    } else if sampling.response_mark {
        (Channel::Canary, SamplingReason::Response)
    } else if !sampling.sampled {
        return None;
    } else if sampling.parent {
        (Channel::Normal, SamplingReason::Parent)
    } else {
        (Channel::Normal, SamplingReason::Root)
    };
    Some(Exported { channel, reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Sampling =
        Sampling { sampled: false, raised: false, control: false, parent: false, response_mark: false };

    fn told(sampling: Sampling) -> Option<(Channel, &'static str)> {
        decide(sampling).map(|exported| (exported.channel, exported.reason.as_str()))
    }

    #[test]
    fn a_mark_goes_to_the_canary_channel() {
        assert_eq!(
            told(Sampling { sampled: true, raised: true, parent: true, ..NONE }),
            Some((Channel::Canary, "mark"))
        );
        assert_eq!(
            told(Sampling { sampled: true, raised: true, control: true, ..NONE }),
            Some((Channel::Canary, "control"))
        );
    }

    #[test]
    fn the_rest_follows_parent_or_chance() {
        assert_eq!(told(Sampling { sampled: true, parent: true, ..NONE }), Some((Channel::Normal, "parent")));
        assert_eq!(told(Sampling { sampled: true, ..NONE }), Some((Channel::Normal, "root")));
        assert_eq!(told(NONE), None);
        assert_eq!(told(Sampling { raised: true, ..NONE }), None);
    }

    #[test]
    fn a_marked_response_raises_what_nothing_else_did() {
        assert_eq!(told(Sampling { response_mark: true, ..NONE }), Some((Channel::Canary, "response")));
        let sampled = Sampling { sampled: true, parent: true, response_mark: true, ..NONE };
        assert_eq!(told(sampled), Some((Channel::Canary, "response")));
    }
}
