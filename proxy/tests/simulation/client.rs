//! Clients that send requests one after the other, and judge what they get.

use std::net::SocketAddr;
use std::rc::Rc;

use patchgate_proxy::simulation::{Gateway, Pipe, pipe};
use tokio::time::{sleep, timeout};

use super::wire::{BodyEnd, Reader, is_tagged, tagged};
use super::world::{ANSWERED_WITHIN, Shared};

/// What a client does besides waiting for the answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whim {
    None,
    /// It leaves.
    Leaves,
    /// Its connection is reset.
    Resets,
    /// Its connection is dead and nobody is told.
    Silent,
    /// It sends half of its request's body.
    Halts,
}

/// Sends `requests` requests, on as many connections as they need.
pub(crate) async fn run(world: Shared, gateway: Rc<Gateway>, requests: u64) {
    let mut left = requests;
    while left > 0 {
        let (ours, theirs) = pipe(&world.link());
        world.log.borrow_mut().open += 1;
        let nth = left;
        world.note("opens", 0, nth);
        let (at, other) = (Rc::clone(&gateway), Rc::clone(&world));
        tokio::task::spawn_local(async move {
            at.serve(theirs, SocketAddr::from(([10, 1, 1, 1], 4000))).await;
            other.note("connection ends", 0, nth);
            other.log.borrow_mut().open -= 1;
        });
        let mut connection = (ours, Reader::new());
        let mut kept = false;
        loop {
            left -= 1;
            sleep(world.pause(200)).await;
            if !request(&world, &mut connection.0, &mut connection.1, kept).await || left == 0 {
                break;
            }
            kept = true;
        }
    }
}

/// One request and its answer; false: the connection is over.
async fn request(world: &Shared, pipe: &mut Pipe, reader: &mut Reader, kept: bool) -> bool {
    let id = {
        let mut log = world.log.borrow_mut();
        log.ids += 1;
        log.ids
    };
    let (method, keyed) =
        [("GET", false), ("GET", false), ("HEAD", false), ("POST", false), ("POST", true), ("PUT", false)]
            [world.below(6) as usize];
    let is_safe = matches!(method, "GET" | "HEAD" | "PUT") || keyed;
    if !is_safe {
        world.log.borrow_mut().unsafe_ids.push(id);
    }
    let length = if matches!(method, "POST" | "PUT") && world.chance(70) { 1 + world.below(3_000) as usize } else { 0 };
    let chunked = length > 0 && world.chance(40);
    let mut text = format!("{method} / HTTP/1.1\r\nhost: shop\r\nx-id: {id}\r\nx-length: {length}\r\n");
    if keyed {
        text.push_str("idempotency-key: k\r\n");
    }
    if world.chance(30) {
        text.push_str("x-beta: 1\r\n");
    }
    let body = tagged(id, length);
    match (chunked, length) {
        (true, _) => text.push_str("transfer-encoding: chunked\r\n\r\n"),
        (false, 0) => text.push_str("\r\n"),
        _ => text.push_str(&format!("content-length: {length}\r\n\r\n")),
    }
    let whim = match world.below(100) {
        0..4 => Whim::Leaves,
        4..7 => Whim::Resets,
        7..9 => Whim::Silent,
        9..12 if length > 1 => Whim::Halts,
        _ => Whim::None,
    };
    world.note("asks", id, length as u64);
    if !reader.write(pipe, text.as_bytes()).await {
        // A kept connection may be closed at any time: nothing was answered, and nothing has to be.
        return false;
    }
    let cut = if whim == Whim::Halts { length / 2 } else { length };
    let mut stopped = false;
    for piece in body[..cut].chunks(1 + world.below(1_500) as usize) {
        let piece = match chunked {
            true => [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat(),
            false => piece.to_vec(),
        };
        // An answer may come, and the connection end, before all is sent.
        if !reader.write(pipe, &piece).await {
            break;
        }
        if world.chance(10) {
            // Looks for an answer meanwhile.
            let _ = timeout(world.pause(400), reader.fill(pipe)).await;
        }
        if !reader.is_empty() {
            stopped = true;
            break;
        }
    }
    if chunked && cut == length && !stopped {
        reader.write(pipe, b"0\r\n\r\n").await;
    }
    match whim {
        Whim::None | Whim::Halts => {}
        Whim::Leaves | Whim::Resets | Whim::Silent => {
            sleep(world.pause(600)).await;
            world.note("gives up", id, 0);
            match whim {
                Whim::Resets => pipe.breaker().reset(),
                Whim::Silent => pipe.breaker().silence(),
                _ => {}
            }
            return false;
        }
    }
    let Ok(goes_on) = timeout(ANSWERED_WITHIN, answer(world, pipe, reader, (id, method, kept))).await else {
        world.wrong(format!("request {id} has no end after {ANSWERED_WITHIN:?}"));
        return false;
    };
    goes_on && whim == Whim::None && !stopped
}

/// Reads the answer and judges it; false: the connection is over.
async fn answer(world: &Shared, pipe: &mut Pipe, reader: &mut Reader, (id, method, kept): (u64, &str, bool)) -> bool {
    let Some(head) = reader.head(pipe).await else {
        world.note("closed", id, 0);
        // A backend's answer that breaks off may take its head along: what is on its way to the client goes with the
        // connection. An answer of the gateway's own always comes.
        // A kept connection may end before it has taken the request, as when an answer came before its request's end.
        let log = world.log.borrow();
        let is_stale = kept && !log.received.contains_key(&id);
        let answered = log.answers.values().any(|answered| answered.id == id);
        drop(log);
        if !is_stale && !answered {
            world.wrong(format!("the connection ends without an answer to request {id}"));
        }
        return false;
    };
    let status: u64 = head.line.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0);
    if !head.line.starts_with("HTTP/1.1 ") || !(200..600).contains(&status) {
        world.wrong(format!("no answer: {}", head.line));
    }
    let serial = head.number("x-serial");
    if serial.is_some() && head.number("x-for") != Some(id) || serial.is_none() && status < 400 {
        world.wrong(format!("the answer to request {id} is another's: {head:?}"));
        return false;
    }
    let (body, end) = match method {
        "HEAD" => (Vec::new(), BodyEnd::Whole),
        _ => reader.body(pipe, &head, true).await,
    };
    world.note(if end == BodyEnd::Whole { "whole" } else { "broken" }, id, status * 100_000 + body.len() as u64);
    let log = world.log.borrow();
    let mut wrong = None;
    if let Some(serial) = serial
        && method != "HEAD"
    {
        match log.answers.get(&serial) {
            Some(answered) if answered.id == id => {
                if !is_tagged(serial, &body) {
                    wrong = Some(format!("the answer {serial} to request {id} is mixed with another"));
                } else if end == BodyEnd::Whole && (!answered.whole || body.len() != answered.length) {
                    let (got, length) = (body.len(), answered.length);
                    wrong = Some(format!("{got} of {length} bytes of answer {serial} pass for the whole"));
                }
            }
            _ => wrong = Some(format!("no backend gave the answer {serial}")),
        }
    } else if end == BodyEnd::Broken {
        wrong = Some(format!("the gateway's own answer to request {id} breaks off"));
    }
    drop(log);
    wrong.into_iter().for_each(|what| world.wrong(what));
    end == BodyEnd::Whole && head.get("connection") != Some("close")
}
