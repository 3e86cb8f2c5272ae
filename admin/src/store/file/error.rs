//! What can be wrong with a data directory.
//!
//! Each says where, what, and what to do next. Nothing here is logged: whoever opened the log tells.

use std::io;
use std::path::PathBuf;

use crate::store::{Sequence, StoreError};

/// Why a log cannot be opened or exported.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Another process, or another store of this one, has the log.
    #[error(
        "the data directory {} is in use: another patchgate process is running on it; stop that one, or give this one \
         a directory of its own", dir.display()
    )]
    Locked {
        /// The data directory.
        dir: PathBuf,
    },
    /// The log is not what was appended. Nothing was changed.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// An export would go into a log.
    #[error("{} already has a log; export into a new directory", dir.display())]
    Occupied {
        /// The data directory.
        dir: PathBuf,
    },
    /// The operating system said no.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A place from which on the log cannot be trusted.
#[derive(Debug, thiserror::Error)]
#[error("{}: byte {offset}: {fault}; the log is whole up to record {}, the first lost is {lost}; {}",
        file.display(), lost - 1, self.remedy())]
pub struct Damage {
    /// The segment's file.
    pub file: PathBuf,
    /// Where in it.
    pub offset: u64,
    /// The first record that is lost. One of a batch takes the whole batch with it.
    pub lost: Sequence,
    /// It is the end of the log and nothing whole follows: what a crash leaves behind, or a process that is writing at
    /// this moment. An open cuts it and keeps its bytes.
    pub torn: bool,
    /// What is wrong.
    #[source]
    pub fault: Fault,
}

/// What is wrong with a place in the log.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The file ends within a segment's header.
    #[error("the segment's header is incomplete")]
    HeaderIncomplete,
    /// A segment's header is not the one that was written.
    #[error("the segment's header is damaged")]
    HeaderChecksum,
    /// A segment's header is of another segment.
    #[error("the segment's header says that it begins with record {0}")]
    HeaderSequence(Sequence),
    /// A segment does not continue the chain.
    #[error("the segment does not continue the hash chain")]
    HeaderChain,
    /// A segment is of another version of the format.
    #[error("the segment has format version {0}, this patchgate knows version 1")]
    Version(u32),
    /// Between two segments records are missing, or there are too many.
    #[error("the next segment begins with record {0}; a segment or the end of one is missing")]
    Gap(Sequence),
    /// The file ends within a frame.
    #[error("the frame is incomplete")]
    Incomplete,
    /// No frame is that long.
    #[error("the frame's length is impossible")]
    Length,
    /// The frame's bytes are not those that were written.
    #[error("the frame's checksum is wrong")]
    Checksum,
    /// A whole frame that belongs elsewhere.
    #[error("the frame is of record {0}")]
    Sequence(Sequence),
    /// A whole frame whose record does not follow the one before it.
    #[error("the record does not continue the hash chain")]
    Chain,
    /// The end of a batch is missing.
    #[error("the batch is incomplete")]
    Batch,
    /// The operating system does not give the bytes.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] io::Error),
}

impl Damage {
    fn remedy(&self) -> String {
        match &self.fault {
            Fault::Version(_) => "run the patchgate that wrote it".to_owned(),
            Fault::Unreadable(_) => {
                format!("let it be read, or {}", self.export())
            }
            _ if self.torn => "an open cuts this torn end and keeps its bytes".to_owned(),
            _ => format!("`patchgate log verify` checks it again, {}", self.export()),
        }
    }

    fn export(&self) -> String {
        format!("`patchgate log export --until {}` saves what is whole into a new directory", self.lost - 1)
    }
}
