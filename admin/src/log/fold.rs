//! Records → state, checking all that can be checked on the way: order, chain, form, clocks, invariants.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::rollout::codec::{self, CodecError};
use crate::rollout::invariants::{Violation, follows};
use crate::rollout::{Envelope, State};
use crate::store::{ChainHash, Record};

/// A log up to one of its records.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Fold {
    state: State,
    chain: ChainHash,
    counts: BTreeMap<Cow<'static, str>, u64>,
}

/// A record that must not be where it is.
#[derive(Debug, thiserror::Error)]
#[error("event {sequence} of the log: {what}")]
pub struct Fault {
    /// Its place.
    pub sequence: u64,
    /// What is wrong.
    pub what: FaultKind,
}

/// What is wrong with a record.
#[derive(Debug, thiserror::Error)]
pub enum FaultKind {
    /// It is not the next one.
    #[error("{expected} was expected here")]
    Order {
        /// The place after the record before.
        expected: u64,
    },
    /// It is not the one that was appended.
    #[error("its hash is {found}, the chain says {expected}")]
    Chain {
        /// The hash it was stored with.
        found: ChainHash,
        /// The hash of its bytes after all before it.
        expected: ChainHash,
    },
    /// Its bytes are no event.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// It contradicts what was before.
    #[error(transparent)]
    Violation(#[from] Violation),
}

impl Fold {
    /// Adds the next record and returns its event.
    ///
    /// # Errors
    /// If it must not follow; the fold stays as it was.
    pub fn record(&mut self, record: &Record) -> Result<Envelope, Fault> {
        let fault = |what: FaultKind| Fault { sequence: record.sequence, what };
        let expected = self.state.sequence + 1;
        if record.sequence != expected {
            return Err(fault(FaultKind::Order { expected }));
        }
        let chain = self.chain.next(&record.payload);
        if chain != record.hash {
            return Err(fault(FaultKind::Chain { found: record.hash, expected: chain }));
        }
        let envelope = codec::decode(&record.payload).map_err(|error| fault(error.into()))?;
        follows(&self.state, &envelope).map_err(|violation| fault(violation.into()))?;
        self.state.apply(&envelope);
        self.chain = chain;
        *self.counts.entry(Cow::Borrowed(envelope.event.name())).or_default() += 1;
        Ok(envelope)
    }

    /// What the log says so far.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// The hash of the last record.
    #[must_use]
    pub const fn chain(&self) -> ChainHash {
        self.chain
    }

    /// Events by name.
    #[must_use]
    pub const fn counts(&self) -> &BTreeMap<Cow<'static, str>, u64> {
        &self.counts
    }
}
