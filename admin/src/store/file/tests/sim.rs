//! A disk in memory that keeps apart what was written and what is durable, so that it can lose power at any step.
//!
//! It is harsher than file systems are: names and bytes become durable by their own syncs alone, and of what was not
//! synced a power cut keeps any beginning, the last write of it possibly in part or as zeros.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use fastrand::Rng;

use super::super::disk::{Disk, DiskFile};

/// What happens at a step.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    /// It fails. Of a write, these bytes are in the file; of a failed sync, anything may be durable.
    Fails(io::ErrorKind, usize),
    /// The process ends within it; this and every later step fails. It is done, if not durable.
    Dies,
}

/// The disk; clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct SimDisk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    names: Names,
    files: Vec<Contents>,
    /// Steps that change something, so far, and what each was.
    steps: Vec<&'static str>,
    faults: HashMap<usize, Fault>,
    dead: bool,
    /// Bytes that fit on the disk.
    capacity: Option<usize>,
}

#[derive(Debug, Default)]
struct Names {
    now: BTreeMap<PathBuf, usize>,
    durable: BTreeMap<PathBuf, usize>,
    pending: Vec<(PathBuf, Option<usize>)>,
}

#[derive(Debug, Default)]
struct Contents {
    now: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Cut(usize),
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    file: usize,
}

impl SimDisk {
    /// Puts a file there, durably.
    pub(super) fn put(&self, path: &Path, bytes: &[u8]) {
        let mut state = self.state();
        let file = state.files.len();
        state.files.push(Contents { now: bytes.to_vec(), durable: bytes.to_vec(), pending: Vec::new() });
        state.names.now.insert(path.to_path_buf(), file);
        state.names.durable.insert(path.to_path_buf(), file);
    }

    pub(super) fn delete(&self, path: &Path) {
        let mut state = self.state();
        state.names.now.remove(path);
        state.names.durable.remove(path);
    }

    /// Changes one bit of a file, in place.
    pub(super) fn flip(&self, path: &Path, byte: usize) {
        let mut state = self.state();
        let file = state.names.now[path];
        state.files[file].now[byte] ^= 1;
    }

    /// The bytes of a file; none if there is no such file.
    pub(super) fn get(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.state();
        state.names.now.get(path).map(|&file| state.files[file].now.clone())
    }

    /// All files and their bytes.
    pub(super) fn contents(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let state = self.state();
        state.names.now.iter().map(|(path, &file)| (path.clone(), state.files[file].now.clone())).collect()
    }

    /// A disk of its own with the same files, all durable.
    pub(super) fn copy(&self) -> Self {
        let copy = Self::default();
        self.contents().iter().for_each(|(path, bytes)| copy.put(path, bytes));
        copy
    }

    /// The steps done.
    pub(super) fn steps(&self) -> Vec<&'static str> {
        self.state().steps.clone()
    }

    /// What will happen at a step to come, counted from 0 for the next.
    pub(super) fn at(&self, step: usize, fault: Fault) {
        let mut state = self.state();
        let step = state.steps.len() + step;
        state.faults.insert(step, fault);
    }

    /// No more faults.
    pub(super) fn mend(&self) {
        self.state().faults.clear();
    }

    /// Lets at most so many bytes be in all files together.
    pub(super) fn limit(&self, capacity: Option<usize>) {
        self.state().capacity = capacity;
    }

    pub(super) fn is_dead(&self) -> bool {
        self.state().dead
    }

    /// The process ended. The system is still there, and with it all that was written.
    pub(super) fn process_ends(&self) {
        let mut state = self.state();
        state.dead = false;
        state.faults.clear();
    }

    /// Power is lost; what is left is up to `rng`.
    pub(super) fn power_cut(&self, rng: &mut Rng) {
        let mut state = self.state();
        for file in &mut state.files {
            file.power_cut(rng);
        }
        let names = &mut state.names;
        let kept = rng.usize(..=names.pending.len());
        for (path, file) in std::mem::take(&mut names.pending).into_iter().take(kept) {
            apply(&mut names.durable, path, file);
        }
        names.now = names.durable.clone();
        state.dead = false;
        state.faults.clear();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Does a step: `done` tells how many bytes of it are to be done before it fails, none for all.
    fn step<T>(
        &self,
        what: &'static str,
        done: impl FnOnce(&mut State, Option<usize>) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut state = self.state();
        if state.dead {
            return Err(io::Error::other("the process is dead"));
        }
        let fault = state.faults.get(&state.steps.len()).copied();
        state.steps.push(what);
        match fault {
            None => done(&mut state, None),
            Some(Fault::Dies) => {
                state.dead = true;
                // A sync that nobody saw the end of has synced nothing.
                if !what.starts_with("sync") {
                    done(&mut state, None)?;
                }
                Err(io::Error::other("the process is dead"))
            }
            Some(Fault::Fails(kind, bytes)) => {
                done(&mut state, Some(bytes))?;
                Err(kind.into())
            }
        }
    }
}

fn apply(names: &mut BTreeMap<PathBuf, usize>, path: PathBuf, file: Option<usize>) {
    match file {
        Some(file) => names.insert(path, file),
        None => names.remove(&path),
    };
}

impl Contents {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.now);
        self.pending.push(change);
    }

    fn sync(&mut self) {
        for change in self.pending.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    /// The system gives up on what it could not write, and will not say so again.
    fn sync_fails(&mut self, rng: &mut Rng) {
        for change in self.pending.drain(..) {
            if rng.bool() || matches!(change, Change::Cut(_)) {
                change.apply(&mut self.durable);
            }
        }
    }

    fn power_cut(&mut self, rng: &mut Rng) {
        let kept = rng.usize(..=self.pending.len());
        let mut pending = std::mem::take(&mut self.pending).into_iter();
        pending.by_ref().take(kept).for_each(|change| change.apply(&mut self.durable));
        if let Some(Change::Write(offset, mut bytes)) = pending.next() {
            let written = rng.usize(..=bytes.len());
            match rng.u8(..3) {
                0 => bytes.truncate(written),
                1 => bytes[written..].fill(0),
                _ => bytes[written..].fill_with(|| rng.u8(..)),
            }
            Change::Write(offset, bytes).apply(&mut self.durable);
        }
        self.now = self.durable.clone();
    }
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(offset, new) => {
                if bytes.len() < offset + new.len() {
                    bytes.resize(offset + new.len(), 0);
                }
                bytes[*offset..offset + new.len()].copy_from_slice(new);
            }
            Self::Cut(len) => bytes.resize(*len, 0),
        }
    }
}

impl Disk for SimDisk {
    fn make_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.state();
        let here = state.names.now.keys().filter(|path| path.parent() == Some(dir));
        Ok(here.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect())
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.edit(path)
    }

    fn edit(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = *self.state().names.now.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(SimFile { disk: self.clone(), file }))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let known = self.state().names.now.get(path).copied();
        let file = self.step("create", |state, fails| {
            match (known, fails) {
                (_, Some(_)) => {}
                (Some(file), None) => state.files[file].change(Change::Cut(0)),
                (None, None) => {
                    let file = state.files.len();
                    state.files.push(Contents::default());
                    state.names.now.insert(path.to_path_buf(), file);
                    state.names.pending.push((path.to_path_buf(), Some(file)));
                }
            }
            Ok(state.names.now.get(path).copied())
        })?;
        Ok(Box::new(SimFile { disk: self.clone(), file: file.unwrap() }))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.step("remove", |state, fails| {
            if fails.is_none() {
                state.names.now.remove(path);
                state.names.pending.push((path.to_path_buf(), None));
            }
            Ok(())
        })
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.step("sync directory", |state, fails| {
            let names = &mut state.names;
            for (path, file) in std::mem::take(&mut names.pending) {
                if fails.is_none() && path.parent() == Some(dir) {
                    apply(&mut names.durable, path, file);
                } else {
                    names.pending.push((path, file));
                }
            }
            Ok(())
        })
    }
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.state().files[self.file].now.len() as u64)
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.disk.state();
        let bytes = &state.files[self.file].now;
        // Short reads are as good as long ones.
        let from = &bytes[bytes.len().min(offset as usize)..];
        let read = from.len().min(into.len()).min(5_000);
        into[..read].copy_from_slice(&from[..read]);
        Ok(read)
    }

    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let end = offset as usize + bytes.len();
        self.disk.step("write", |state, fails| {
            let others: usize = state.files.iter().map(|file| file.now.len()).sum();
            let used = others - state.files[self.file].now.len().min(others) + end;
            let over = state.capacity.map_or(0, |capacity| used.saturating_sub(capacity));
            let written = fails.unwrap_or(bytes.len()).min(bytes.len().saturating_sub(over));
            state.files[self.file].change(Change::Write(offset as usize, bytes[..written].to_vec()));
            if over > 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        })
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.disk.step("cut", |state, fails| {
            if fails.is_none() {
                state.files[self.file].change(Change::Cut(len as usize));
            }
            Ok(())
        })
    }

    fn sync_data(&mut self) -> io::Result<()> {
        self.disk.step("sync data", |state, fails| {
            let file = &mut state.files[self.file];
            match fails {
                None => file.sync(),
                Some(seed) => file.sync_fails(&mut Rng::with_seed(seed as u64)),
            }
            Ok(())
        })
    }

    fn sync_all(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}
