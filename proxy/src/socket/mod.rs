//! What a connection's bytes go through: a TCP stream, plain or under TLS, or in a simulation a piece of memory. Knows
//! nothing of HTTP.

pub(crate) mod tls;

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use patchgate_config::tls::{BackendTls, SubjectName};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::rustls::ClientConfig;

#[cfg(feature = "simulation")]
use crate::simulation::{self, Pipe};
use tls::TlsSocket;

/// See the module.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    /// Boxed: it is large, and most are plain.
    Tls(Box<TlsSocket>),
    #[cfg(feature = "simulation")]
    Simulated(Pipe),
}

/// The same for whatever it is.
macro_rules! each {
    ($socket:expr, $stream:ident => $what:expr) => {
        match $socket {
            Socket::Tcp($stream) => $what,
            Socket::Tls($stream) => $what,
            #[cfg(feature = "simulation")]
            Socket::Simulated($stream) => $what,
        }
    };
}

impl Socket {
    pub(crate) async fn connect(endpoint: SocketAddr) -> io::Result<Self> {
        #[cfg(feature = "simulation")]
        if let Some(dialed) = simulation::dial(endpoint) {
            return dialed.established().await.map(Self::Simulated);
        }
        let stream = TcpStream::connect(endpoint).await?;
        // Requests are written whole; waiting for more would only delay them.
        let _ = stream.set_nodelay(true);
        Ok(Self::Tcp(stream))
    }

    /// The same under TLS, with the backend at `endpoint`; `config` is one of `tls`.
    pub(crate) async fn secure(
        self,
        tls: &BackendTls,
        config: &Arc<ClientConfig>,
        endpoint: SocketAddr,
    ) -> io::Result<Self> {
        match self {
            Self::Tcp(stream) => {
                Ok(Self::Tls(Box::new(TlsSocket::connect(tls.name_at(endpoint.ip()), config, stream).await?)))
            }
            other => Ok(other),
        }
    }

    pub(crate) const fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// The names in the peer's certificate; none without one.
    pub(crate) fn peer_names(&self) -> Vec<SubjectName> {
        match self {
            Self::Tls(socket) => socket.peer_names(),
            _ => Vec::new(),
        }
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        each!(self, stream => stream.local_addr())
    }

    pub(crate) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_read_ready(cx))
    }

    pub(crate) fn try_read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        each!(self, stream => stream.try_read(into))
    }

    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        each!(self, stream => stream.try_write(bytes))
    }

    pub(crate) fn set_zero_linger(&self) -> io::Result<()> {
        each!(self, stream => stream.set_zero_linger())
    }
}

impl From<TlsSocket> for Socket {
    fn from(socket: TlsSocket) -> Self {
        Self::Tls(Box::new(socket))
    }
}

impl From<TcpStream> for Socket {
    fn from(stream: TcpStream) -> Self {
        Self::Tcp(stream)
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_write_vectored(cx, pieces))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_shutdown(cx))
    }
}
