//! Backends that mostly answer, and fail in every way that a backend can.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use patchgate_proxy::simulation::{Dialed, Pipe, pipe};
use tokio::io::AsyncWriteExt;
use tokio::time::sleep;

use super::wire::{BodyEnd, Reader, is_tagged, tagged};
use super::world::{Answered, Shared};

/// Takes a connection, or does not.
pub(crate) fn dial(world: &Shared, endpoint: SocketAddr) -> Dialed {
    let octets = match endpoint {
        SocketAddr::V4(four) => u64::from(four.ip().to_bits()),
        SocketAddr::V6(_) => 0,
    };
    world.note("dials", 0, octets & 0xffff);
    match world.below(100) {
        0..6 => Dialed::Refused(world.pause(300)),
        6..9 => Dialed::Silent,
        _ => {
            let (ours, theirs) = pipe(&world.link());
            let mirror = endpoint.ip().to_string() == "10.0.2.1";
            tokio::task::spawn_local(serve(Rc::clone(world), ours, mirror));
            Dialed::Established(world.pause(300), theirs)
        }
    }
}

async fn serve(world: Shared, mut pipe: Pipe, mirror: bool) {
    let mut reader = Reader::new();
    while let Some(head) = reader.head(&mut pipe).await {
        world.reschedule().await;
        let Some(id) = head.number("x-id") else {
            world.wrong(format!("a backend got a request without its id: {head:?}"));
            return;
        };
        if !mirror {
            *world.log.borrow_mut().received.entry(id).or_default() += 1;
        }
        world.note("received", id, u64::from(mirror));
        let early = world.chance(5);
        if !early {
            let (body, end) = reader.body(&mut pipe, &head, false).await;
            let length = head.number("x-length").unwrap_or(0) as usize;
            if !is_tagged(id, &body) || (end == BodyEnd::Whole && body.len() != length) {
                world.wrong(format!("request {id} had {length} bytes and a backend got {} others", body.len()));
            }
            if end == BodyEnd::Broken {
                return;
            }
        }
        sleep(world.pause(900)).await;
        if !answer(&world, &mut pipe, id, head.line.starts_with("HEAD")).await || early {
            return;
        }
    }
}

/// Answers; false: the connection is over.
async fn answer(world: &Shared, pipe: &mut Pipe, id: u64, to_head: bool) -> bool {
    let what = world.below(100);
    match what {
        0..5 => {
            pipe.breaker().reset();
            return false;
        }
        5..8 => {
            pipe.breaker().silence();
            sleep(Duration::from_secs(20)).await;
            return false;
        }
        8..11 => {
            let _ = pipe.write_all(b"HTTP/1.1 whatever\r\n\r\n").await;
            return false;
        }
        11..14 => return false,
        _ => {}
    }
    let status = if (14..22).contains(&what) { "503 Service Unavailable" } else { "200 OK" };
    let length = if world.chance(10) { world.below(90_000) } else { world.below(2_000) } as usize;
    let serial = {
        let mut log = world.log.borrow_mut();
        log.serials += 1;
        let serial = log.serials;
        log.answers.insert(serial, Answered { id, length, whole: false });
        serial
    };
    world.note("answers", id, serial);
    let framing = world.below(3);
    let mut head = format!("HTTP/1.1 {status}\r\nx-serial: {serial}\r\nx-for: {id}\r\n");
    head.push_str(&match framing {
        0 => format!("content-length: {length}\r\n\r\n"),
        1 => "transfer-encoding: chunked\r\n\r\n".to_owned(),
        _ => "connection: close\r\n\r\n".to_owned(),
    });
    let body = if to_head { Vec::new() } else { tagged(serial, length) };
    let breaks = (22..28).contains(&what) && !body.is_empty();
    let written = if breaks { world.below(body.len() as u64) as usize } else { body.len() };
    let mut out = head.into_bytes();
    let slow = world.chance(5);
    // Not one byte less than all of it may pass for the whole, so what is not written is told before.
    if !breaks {
        world.log.borrow_mut().answers.entry(serial).and_modify(|answer| answer.whole = true);
    }
    for piece in body[..written].chunks(1 + world.below(8_000) as usize) {
        match framing {
            1 => {
                out.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
                out.extend_from_slice(piece);
                out.extend_from_slice(b"\r\n");
            }
            _ => out.extend_from_slice(piece),
        }
        if pipe.write_all(&out).await.is_err() {
            return false;
        }
        out.clear();
        if slow {
            sleep(world.pause(700)).await;
        }
    }
    if framing == 1 && !breaks && !to_head {
        out.extend_from_slice(b"0\r\n\r\n");
    }
    if pipe.write_all(&out).await.is_err() {
        return false;
    }
    if breaks {
        world.note("breaks", id, serial);
        // An end is how a body without framing ends; only a reset breaks it.
        if framing == 2 || world.chance(50) {
            pipe.breaker().reset();
        }
        return false;
    }
    framing != 2 && !world.chance(5)
}
