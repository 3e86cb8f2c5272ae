//! When a backend is given up, by a clock that is not the wall's.

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::LocalSet;

use super::*;

const PING: u8 = 6;

/// A backend that answers PING for as long as `answers` says, and nothing else.
async fn serve(mut io: DuplexStream, answers: Rc<Cell<bool>>, pings: Rc<Cell<u32>>) {
    let _ = io.read_exact(&mut [0; 24]).await;
    // Empty settings.
    let _ = io.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await;
    let mut head = [0; 9];
    while io.read_exact(&mut head).await.is_ok() {
        let mut payload = vec![0; usize::from(head[2])];
        let _ = io.read_exact(&mut payload).await;
        if head[3] == PING && head[4] == 0 {
            pings.set(pings.get() + 1);
            if answers.get() {
                let _ = io.write_all(&[0, 0, 8, PING, 1, 0, 0, 0, 0]).await;
                let _ = io.write_all(&payload).await;
            }
        }
    }
}

struct World {
    connection: Rc<Connection>,
    answers: Rc<Cell<bool>>,
    pings: Rc<Cell<u32>>,
}

async fn world() -> World {
    let (ours, theirs) = duplex(64 * 1024);
    let (answers, pings) = (Rc::new(Cell::new(true)), Rc::default());
    tokio::task::spawn_local(serve(theirs, Rc::clone(&answers), Rc::clone(&pings)));
    World { connection: Connection::begin(ours, None).await.unwrap(), answers, pings }
}

fn request() -> Request<()> {
    Request::get("http://test/").body(()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_is_gone_is_noticed_and_its_streams_fail() {
    let test = async {
        let World { connection, answers, .. } = world().await;
        connection.state.streams.set(1);
        let (response, _) = connection.open(request(), true).unwrap();
        answers.set(false);
        let begun = Instant::now();
        assert!(response.await.unwrap_err().is_io());
        assert_eq!(begun.elapsed(), SILENCE + PONG);
        assert!(connection.is_over());
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_backend_that_is_there_is_kept_and_asked_sparingly() {
    let test = async {
        let World { connection, pings, .. } = world().await;
        connection.state.streams.set(1);
        let _open = connection.open(request(), true).unwrap();
        sleep(SPARING).await;
        assert_eq!(pings.get(), 1);
        sleep(SPARING).await;
        assert_eq!(pings.get(), 2);
        connection.state.heard.set(true);
        sleep(SILENCE * 2).await;
        assert_eq!(pings.get(), 3, "what it said in between makes it talkative again");
        assert!(!connection.is_over());
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_not_asked_and_is_let_go_after_some_sweeps() {
    let test = async {
        let World { connection, pings, .. } = world().await;
        sleep(SPARING).await;
        assert_eq!(pings.get(), 0);
        assert_eq!([connection.idled(), connection.idled()], [1, 2]);
        connection.state.streams.set(1);
        assert_eq!(connection.idled(), 0);
    };
    LocalSet::new().run_until(test).await;
}
