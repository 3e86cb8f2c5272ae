//! A process or a machine that ends at any step: nothing acknowledged is lost, nothing refused comes back, no batch is
//! there in part, and the log opens.

use fastrand::Rng;

use super::sim::Fault;
use super::*;

/// Five segments for what is appended here.
const SEGMENT: u64 = 400;

/// What has to be in the log, and what may.
#[derive(Debug, Default, Clone)]
pub(super) struct Model {
    pub(super) sure: Vec<Bytes>,
    /// One of these may follow it.
    maybe: Vec<Vec<Bytes>>,
}

impl Model {
    /// Takes the answer to an append at the end. One that came after the process was dead was not heard by anybody.
    #[track_caller]
    pub(super) fn take(&mut self, payloads: &[Bytes], answer: &Append, dead: bool) {
        match answer {
            Append::Committed(head) => {
                self.sure.extend(payloads.iter().cloned());
                assert_eq!(head.sequence, self.sure.len() as u64);
                self.maybe.clear();
            }
            Append::Refused(_) if !dead => {}
            Append::Refused(_) | Append::Unknown(_) => self.maybe.push(payloads.to_vec()),
            Append::Conflict { .. } => panic!("nobody else appends: {answer:?}"),
        }
    }

    /// Compares it with what is there, which is sure from now on.
    #[track_caller]
    pub(super) fn compare(&mut self, found: Vec<Bytes>) {
        let rest = found.strip_prefix(&self.sure[..]);
        let allowed = rest.is_some_and(|rest| rest.is_empty() || self.maybe.iter().any(|batch| batch == rest));
        assert!(allowed, "found {found:?}, expected {self:?}");
        *self = Self { sure: found, maybe: Vec::new() };
    }
}

/// Batches of one to three records.
fn batches() -> Vec<Vec<Bytes>> {
    (0..9)
        .map(|batch| (0..=batch % 3).map(|record| Bytes::from(format!("batch {batch}, record {record}"))).collect())
        .collect()
}

/// Opens the log and appends to it until it is done or the process is dead. Tells whether it is alive.
fn live(runtime: &Runtime, disk: &SimDisk, model: &mut Model) -> bool {
    let store = match open(disk, SEGMENT) {
        Ok(opened) => opened.store,
        Err(FileError::Store(_)) if disk.is_dead() => return false,
        Err(other) => panic!("{other}"),
    };
    model.compare(payloads(runtime, &store));
    for batch in batches() {
        let answer = append(runtime, &store, model.sure.len() as u64, &batch);
        model.take(&batch, &answer, disk.is_dead());
        if disk.is_dead() {
            return false;
        }
    }
    true
}

/// The process ends at the given step, or the machine with it.
fn end(disk: &SimDisk, rng: &mut Rng) {
    if rng.u8(..4) == 0 { disk.process_ends() } else { disk.power_cut(rng) }
}

/// Steps of a life without a crash.
fn steps(runtime: &Runtime) -> usize {
    let disk = SimDisk::default();
    assert!(live(runtime, &disk, &mut Model::default()));
    let steps = disk.steps();
    assert_eq!(steps.iter().filter(|&&step| step == "create").count(), 5);
    steps.len()
}

#[test]
fn a_crash_at_any_step_loses_nothing_acknowledged() {
    let runtime = runtime();
    for step in 0..steps(&runtime) {
        for seed in 0..48 {
            let (disk, mut model, mut rng) = (SimDisk::default(), Model::default(), Rng::with_seed(seed));
            disk.at(step, Fault::Dies);
            assert!(!live(&runtime, &disk, &mut model));
            end(&disk, &mut rng);
            assert!(live(&runtime, &disk, &mut model));
            // All of that is durable, also what the second process only found.
            disk.power_cut(&mut rng);
            model.compare(payloads(&runtime, &open(&disk, SEGMENT).unwrap().store));
        }
    }
}

#[test]
fn a_crash_at_any_step_of_the_open_after_a_crash_loses_nothing_acknowledged() {
    let runtime = runtime();
    for step in 0..steps(&runtime) {
        // An open that has to cut takes ten steps, one that has to make a segment again as many.
        for second in 0..12 {
            let (disk, mut model, mut rng) = (SimDisk::default(), Model::default(), Rng::with_seed(step as u64));
            disk.at(step, Fault::Dies);
            assert!(!live(&runtime, &disk, &mut model));
            end(&disk, &mut rng);
            disk.at(second, Fault::Dies);
            assert!(!live(&runtime, &disk, &mut model));
            end(&disk, &mut rng);
            assert!(live(&runtime, &disk, &mut model));
        }
    }
}

#[test]
fn an_open_makes_durable_what_it_found() {
    let runtime = runtime();
    for seed in 0..32 {
        let (disk, mut model, mut rng) = (SimDisk::default(), Model::default(), Rng::with_seed(seed));
        let store = open(&disk, SEGMENT).unwrap().store;
        // Written, and dead before the sync.
        disk.at(1, Fault::Dies);
        let batch = [Bytes::from("written")];
        model.take(&batch, &append(&runtime, &store, 0, &batch), true);
        drop(store);
        disk.process_ends();
        let store = open(&disk, SEGMENT).unwrap().store;
        model.compare(payloads(&runtime, &store));
        assert_eq!(model.sure, batch);
        drop(store);
        disk.power_cut(&mut rng);
        model.compare(payloads(&runtime, &open(&disk, SEGMENT).unwrap().store));
    }
}

#[test]
fn an_open_makes_durable_the_segment_it_found() {
    let runtime = runtime();
    // A segment is created, written, synced, and its directory is.
    for (step, seed) in (0..4).flat_map(|step| (0..32).map(move |seed| (step, seed))) {
        let (disk, mut model, mut rng) = (SimDisk::default(), Model::default(), Rng::with_seed(seed));
        let mut store = open(&disk, SEGMENT).unwrap().store;
        for size in [300, 200] {
            let batch = [Bytes::from(vec![b'x'; size])];
            if size == 200 {
                disk.at(step, Fault::Dies);
            }
            let answer = append(&runtime, &store, model.sure.len() as u64, &batch);
            model.take(&batch, &answer, disk.is_dead());
        }
        drop(store);
        disk.process_ends();
        store = open(&disk, SEGMENT).unwrap().store;
        model.compare(payloads(&runtime, &store));
        let batch = [Bytes::from("small")];
        model.take(&batch, &append(&runtime, &store, 1, &batch), false);
        drop(store);
        disk.power_cut(&mut rng);
        model.compare(payloads(&runtime, &open(&disk, SEGMENT).unwrap().store));
    }
}
