//! TLS of a client's connection, before HTTP is spoken on it.

use std::io;

use patchgate_config::tls::ListenerTls;
use tokio::net::TcpStream;

use super::ListenerRef;
use crate::socket::tls::{TlsSocket, reason};
use crate::worker::Worker;

/// Told to a client that speaks HTTP without TLS.
const SPEAKS_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\n\
    content-length: 43\r\nconnection: close\r\n\r\nthis port speaks TLS: ask it with https://\n";

/// What every handshake begins with (RFC 8446 §5.1).
const HANDSHAKE_RECORD: u8 = 22;

/// Why there is no connection under TLS.
enum Failed {
    /// The first byte is none of TLS.
    NotTls,
    Refused(io::Error),
}

/// A client's connection under TLS; `None`: there is none, and the connection is to be closed.
pub(super) async fn handshake(
    worker: &Worker,
    listener: &ListenerRef,
    stream: TcpStream,
    tls: &ListenerTls,
) -> Option<TlsSocket> {
    let time = listener.with(|listener| listener.limits.header_timeout);
    let done = tokio::time::timeout(time, accept(stream, tls)).await;
    let result = match &done {
        Ok(Ok(socket)) if socket.is_resumed() => "resumed",
        Ok(Ok(_)) => "full",
        Ok(Err(Failed::NotTls)) => "not_tls",
        Ok(Err(Failed::Refused(error))) => {
            let reason = reason(error);
            tracing::debug!(%error, reason, "a client's handshake failed");
            reason
        }
        Err(_) => "timeout",
    };
    worker.telemetry.tls_handshake(result);
    done.ok()?.ok()
}

async fn accept(stream: TcpStream, tls: &ListenerTls) -> Result<TlsSocket, Failed> {
    // Looked at first: to who speaks no TLS its alert would be noise before the answer.
    let mut first = [0];
    if matches!(stream.peek(&mut first).await, Ok(1)) && first != [HANDSHAKE_RECORD] {
        say_so(&stream);
        return Err(Failed::NotTls);
    }
    TlsSocket::accept(tls, stream).await.map_err(Failed::Refused)
}

/// Answers a client that speaks HTTP without TLS; what it cannot take at once it is not told.
fn say_so(stream: &TcpStream) {
    // What is left unread would reset the connection, and take the answer from the client.
    let _ = stream.try_read(&mut [0; 16 * 1024]);
    let _ = stream.try_write(SPEAKS_TLS);
}

#[cfg(test)]
mod tests {
    use super::SPEAKS_TLS;

    #[test]
    fn the_word_to_those_without_tls_is_as_long_as_it_says() {
        let text = std::str::from_utf8(SPEAKS_TLS).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())), "{}", body.len());
    }
}
