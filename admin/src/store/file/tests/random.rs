//! Any faults and crashes in any order, against a model of what has to be there.

use std::io::ErrorKind;

use fastrand::Rng;
use proptest::collection::vec;
use proptest::prelude::*;

use super::crash::Model;
use super::sim::Fault;
use super::*;

#[derive(Debug, Clone)]
enum Act {
    /// Appends records of these lengths.
    Append(Vec<usize>),
    /// Something goes wrong so many steps from now.
    Fails(usize, usize),
    /// The process ends so many steps from now.
    Dies(usize),
    /// Power is lost now.
    PowerCut(u64),
    /// The log is closed and opened.
    Reopen,
    /// The disk is full up to so many further bytes.
    Fills(usize),
    /// And empty again.
    Empties,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => vec(0_usize..120, 1..4).prop_map(Act::Append),
        3 => (0_usize..6, 0_usize..200).prop_map(|(step, done)| Act::Fails(step, done)),
        1 => (0_usize..8).prop_map(Act::Dies),
        1 => any::<u64>().prop_map(Act::PowerCut),
        2 => Just(Act::Reopen),
        1 => (0_usize..300).prop_map(Act::Fills),
        1 => Just(Act::Empties),
    ]
}

struct World {
    runtime: Runtime,
    disk: SimDisk,
    store: Option<FileStore>,
    model: Model,
    /// A sync may have failed since the system began: it may have forgotten what is not on disk, so that what a new
    /// process finds may be in memory alone. Only a power cut shows.
    forgetful: bool,
    number: usize,
}

impl World {
    /// Opens the log, as often as that fails for a fault.
    fn open(&mut self) {
        while self.store.is_none() {
            match open(&self.disk, 500) {
                Ok(opened) => {
                    self.model.compare(payloads(&self.runtime, &opened.store));
                    self.store = Some(opened.store);
                }
                Err(FileError::Store(StoreError::Io { .. })) => {
                    let rng = &mut Rng::with_seed(self.number as u64);
                    self.disk.limit(None);
                    self.disk.power_cut(rng);
                }
                Err(other) => panic!("{other}"),
            }
        }
    }

    fn close(&mut self, power_cut: Option<u64>) {
        self.store = None;
        match power_cut {
            Some(seed) => self.disk.power_cut(&mut Rng::with_seed(seed)),
            None if self.forgetful || self.disk.is_dead() => {
                self.disk.power_cut(&mut Rng::with_seed(self.number as u64));
            }
            None => self.disk.process_ends(),
        }
        self.forgetful = false;
        self.open();
    }

    fn append(&mut self, lengths: &[usize]) {
        let batch = lengths.iter().map(|&length| {
            self.number += 1;
            Bytes::from(format!("{:0length$}", self.number))
        });
        let batch: Vec<_> = batch.collect();
        let store = self.store.as_ref().unwrap();
        let answer = append(&self.runtime, store, self.model.sure.len() as u64, &batch);
        self.model.take(&batch, &answer, self.disk.is_dead());
        assert_eq!(store.head().sequence, self.model.sure.len() as u64);
        if self.disk.is_dead() {
            self.close(None);
        }
    }

    fn act(&mut self, act: &Act) {
        match act {
            Act::Append(lengths) => self.append(lengths),
            Act::Fails(step, done) => {
                self.disk.at(*step, Fault::Fails(ErrorKind::Other, *done));
                self.forgetful = true;
            }
            Act::Dies(step) => self.disk.at(*step, Fault::Dies),
            Act::PowerCut(seed) => self.close(Some(*seed)),
            Act::Reopen => self.close(None),
            Act::Fills(space) => {
                let used: usize = self.disk.contents().values().map(Vec::len).sum();
                self.disk.limit(Some(used + space));
            }
            Act::Empties => self.disk.limit(None),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_log_is_what_was_acknowledged(acts in vec(act(), 1..40)) {
        let (runtime, disk) = (runtime(), SimDisk::default());
        let mut world = World { runtime, disk, store: None, model: Model::default(), forgetful: false, number: 0 };
        world.open();
        for act in &acts {
            world.act(act);
        }
        world.disk.mend();
        world.disk.limit(None);
        world.append(&[5]);
        world.close(None);
    }
}
