//! TLS of a client's connection, before HTTP is spoken on it.

use patchgate_config::tls::ListenerTls;
use tokio::net::TcpStream;

use super::ListenerRef;
use crate::socket::tls::{TlsSocket, reason};
use crate::worker::Worker;

/// Told to a client that speaks HTTP without TLS.
const SPEAKS_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\n\
    content-length: 43\r\nconnection: close\r\n\r\nthis port speaks TLS: ask it with https://\n";

/// A client's connection under TLS; `None`: there is none, and the connection is to be closed.
pub(super) async fn handshake(
    worker: &Worker,
    listener: &ListenerRef,
    stream: TcpStream,
    tls: &ListenerTls,
) -> Option<TlsSocket> {
    let time = listener.with(|listener| listener.limits.header_timeout);
    let done = tokio::time::timeout(time, TlsSocket::accept(tls, stream)).await;
    let result = match &done {
        Ok(Ok(socket)) if socket.is_resumed() => "resumed",
        Ok(Ok(_)) => "full",
        Ok(Err((error, stream))) => {
            let reason = reason(error);
            tracing::debug!(%error, reason, "a client's handshake failed");
            if reason == "not_tls" {
                // What it cannot take at once it is not told.
                let _ = stream.try_write(SPEAKS_TLS);
            }
            reason
        }
        Err(_) => "timeout",
    };
    worker.telemetry.tls_handshake(result);
    done.ok()?.ok()
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
