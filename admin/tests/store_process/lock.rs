//! One data directory, one writer: of two processes, of two threads, and after the first is gone.

use std::sync::Barrier;

use patchgate_admin::store::file::{FileError, FileStore, Opened, Options};
use tempfile::TempDir;

use crate::child::{Child, child_of};

fn open(data: &std::path::Path) -> Result<Opened, FileError> {
    FileStore::open(data, Options::default())
}

#[test]
fn the_second_of_two_processes_is_refused_with_a_clear_error() {
    const TEST: &str = "lock::the_second_of_two_processes_is_refused_with_a_clear_error";
    if let Some(data) = child_of(TEST) {
        let _opened = open(&data).unwrap();
        println!("open");
        // Until the parent is done with it.
        std::io::stdin().read_line(&mut String::new()).unwrap();
        return;
    }
    let data = TempDir::new().unwrap();
    let mut child = Child::start(TEST, data.path());
    assert_eq!(child.said("open"), Some(String::new()));

    let error = open(data.path()).unwrap_err();
    assert!(matches!(&error, FileError::Locked { dir } if dir == data.path()));
    let expected = format!(
        "the data directory {} is in use: another patchgate process is running on it; stop that one, or give this one a \
         directory of its own",
        data.path().display()
    );
    assert_eq!(error.to_string(), expected);

    child.kill();
    open(data.path()).unwrap();
}

#[test]
fn one_of_two_threads_is_refused() {
    let data = TempDir::new().unwrap();
    let (begin, end) = (Barrier::new(2), Barrier::new(2));
    let open_both = || {
        begin.wait();
        let opened = open(data.path());
        // Neither lets go before both have tried.
        end.wait();
        opened.map(drop).is_ok()
    };
    let opened = std::thread::scope(|scope| {
        let threads = [scope.spawn(open_both), scope.spawn(open_both)];
        threads.map(|thread| thread.join().unwrap())
    });
    assert_eq!(opened.iter().filter(|&&opened| opened).count(), 1);
    open(data.path()).unwrap();
}

#[test]
fn a_closed_store_gives_its_directory_back() {
    let data = TempDir::new().unwrap();
    for _ in 0..3 {
        let opened = open(data.path()).unwrap();
        assert!(matches!(open(data.path()), Err(FileError::Locked { .. })));
        drop(opened);
    }
}
