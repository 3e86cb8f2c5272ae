//! State snapshots: what a start would fold the log to, kept beside it so that a start folds only what came after.
//!
//! Derived data. A snapshot counts only if its bytes are those that were written, its state hashes to what it says, this
//! very version wrote it, and the log has its chain hash at its record; else it is passed over, and said so. That makes
//! it the log's, not right: the log is still folded from its first event by the verifier, at the start and by schedule,
//! and compared with the state in force. All of them may be deleted at any time.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::log::Fold;
use crate::store::{EventStore, Sequence};

/// A hundredth of a second of folding.
const EVERY: u64 = 10_000;

/// Files that are kept: the newest, and one in case that it is damaged.
const KEPT: usize = 2;

const PREFIX: &str = "state-";
const SUFFIX: &str = ".json";

/// A directory of snapshots.
#[derive(Debug, Clone)]
pub struct Snapshots {
    dir: PathBuf,
    /// One is written when so many events came after the one before.
    pub(super) every: u64,
}

/// What is kept of a log up to a record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Kept {
    /// State, chain and counts.
    pub fold: Fold,
    /// Where each rollout's events are.
    pub by_rollout: BTreeMap<String, Vec<Sequence>>,
    /// The first record whose order is still remembered.
    pub past_from: Sequence,
}

/// The first line of a file; the rest is what it tells of.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    /// The program's version: another one may fold the same events to another state.
    program: String,
    /// BLAKE3 of the rest, in hex.
    body: String,
    /// BLAKE3 of the state, in hex.
    state_hash: String,
}

/// Why a snapshot is passed over.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unfit {
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error("it is not what was written: {0}")]
    Damaged(&'static str),
    #[error("version {0} wrote it")]
    Program(String),
    #[error("the log is another one at its record {0}")]
    AnotherLog(Sequence),
}

impl Kept {
    fn encode(&self) -> Vec<u8> {
        let body = serde_json::to_vec(self).expect("maps have string keys, and memory takes all");
        let header = Header {
            program: env!("CARGO_PKG_VERSION").to_owned(),
            body: blake3::hash(&body).to_string(),
            state_hash: self.fold.state().hash().to_string(),
        };
        let mut bytes = serde_json::to_vec(&header).expect("a header is three texts");
        bytes.push(b'\n');
        bytes.extend_from_slice(&body);
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Unfit> {
        let end = bytes.iter().position(|&byte| byte == b'\n').ok_or(Unfit::Damaged("it has no first line"))?;
        let (header, body) = (&bytes[..end], &bytes[end + 1..]);
        let header: Header = serde_json::from_slice(header).map_err(|_| Unfit::Damaged("its first line"))?;
        if header.program != env!("CARGO_PKG_VERSION") {
            return Err(Unfit::Program(header.program));
        }
        if blake3::hash(body).to_string() != header.body {
            return Err(Unfit::Damaged("its checksum"));
        }
        let kept: Self = serde_json::from_slice(body).map_err(|_| Unfit::Damaged("its form"))?;
        if kept.fold.state().hash().to_string() != header.state_hash {
            return Err(Unfit::Damaged("its state"));
        }
        Ok(kept)
    }
}

impl Snapshots {
    /// Those in `dir`, which need not exist yet.
    #[must_use]
    pub const fn new(dir: PathBuf) -> Self {
        Self { dir, every: EVERY }
    }

    /// The newest that is the log's; those that are not are told in the process's log.
    pub(super) async fn newest(&self, store: &dyn EventStore) -> Option<Kept> {
        for (_, file) in self.files().into_iter().rev() {
            match read(&file, store).await {
                Ok(kept) => return Some(kept),
                Err(why) => tracing::warn!(
                    file = %file.display(),
                    %why,
                    "a snapshot of the state is not used; the log is folded instead, and the file may be deleted"
                ),
            }
        }
        None
    }

    /// Writes one, whole or not at all, and removes those that are too old.
    pub(super) fn write(&self, kept: &Kept) -> io::Result<()> {
        fs::create_dir_all(&self.dir)?;
        let path = self.dir.join(format!("{PREFIX}{:020}{SUFFIX}", kept.fold.state().sequence));
        let new = self.dir.join("new");
        let mut file = File::create(&new)?;
        file.write_all(&kept.encode())?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        File::open(&self.dir)?.sync_all()?;
        let files = self.files();
        let old = files.len().saturating_sub(KEPT);
        files[..old].iter().try_for_each(|(_, file)| fs::remove_file(file))
    }

    /// By sequence. What cannot be listed is not there.
    fn files(&self) -> Vec<(Sequence, PathBuf)> {
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let mut files: Vec<_> = entries.filter_map(|entry| Some((sequence(&entry.path())?, entry.path()))).collect();
        files.sort_unstable();
        files
    }
}

fn sequence(file: &Path) -> Option<Sequence> {
    file.file_name()?.to_str()?.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.parse().ok()
}

async fn read(file: &Path, store: &dyn EventStore) -> Result<Kept, Unfit> {
    let kept = Kept::decode(&fs::read(file)?)?;
    let sequence = kept.fold.state().sequence;
    let record = store.read(sequence, 1).await.map_err(io::Error::other)?;
    let same = record.first().is_some_and(|record| record.sequence == sequence && record.hash == kept.fold.chain());
    if same { Ok(kept) } else { Err(Unfit::AnotherLog(sequence)) }
}
