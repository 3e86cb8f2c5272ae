//! TLS on a TCP stream, as sockets are used: what is written has left, what was decrypted already counts as readable.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use patchgate_config::tls::{ListenerTls, SubjectName, names_of};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{self, ClientConfig, HandshakeKind};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

/// See the module.
#[derive(Debug)]
pub(crate) struct TlsSocket {
    stream: TlsStream<TcpStream>,
    /// Bytes of the last write that are encrypted and on their way; its writer is told once they have left.
    taken: usize,
}

impl TlsSocket {
    /// A client's handshake.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn accept(tls: &ListenerTls, stream: TcpStream) -> io::Result<Self> {
        let accepted = TlsAcceptor::from(tls.config().clone()).accept(stream).await?;
        Ok(Self { stream: TlsStream::Server(accepted), taken: 0 })
    }

    /// A handshake with a backend that is to be `name`.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn connect(
        name: ServerName<'static>,
        config: &Arc<ClientConfig>,
        stream: TcpStream,
    ) -> io::Result<Self> {
        let connected = TlsConnector::from(Arc::clone(config)).connect(name, stream).await?;
        Ok(Self { stream: TlsStream::Client(connected), taken: 0 })
    }

    /// Whether an earlier session went on.
    pub(crate) fn is_resumed(&self) -> bool {
        self.stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// The names in the peer's certificate, if it showed one.
    pub(crate) fn peer_names(&self) -> Vec<SubjectName> {
        let shown = self.stream.get_ref().1.peer_certificates();
        shown.and_then(<[_]>::first).map(names_of).unwrap_or_default()
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.stream.get_ref().0.local_addr()
    }

    pub(super) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (stream, session) = self.stream.get_ref();
        // It wants nothing while decrypted bytes, or the end, are there to be taken.
        if !session.wants_read() {
            return Poll::Ready(Ok(()));
        }
        stream.poll_read_ready(cx)
    }

    /// Wakes nobody: whoever waits for more has to ask again.
    pub(super) fn try_read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut into = ReadBuf::new(into);
        match Pin::new(&mut self.stream).poll_read(&mut Context::from_waker(Waker::noop()), &mut into) {
            Poll::Ready(read) => read.map(|()| into.filled().len()),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Wakes nobody.
    pub(super) fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match pin!(self).poll_write(&mut Context::from_waker(Waker::noop()), bytes) {
            Poll::Ready(written) => written,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    pub(super) fn set_zero_linger(&self) -> io::Result<()> {
        self.stream.get_ref().0.set_zero_linger()
    }

    /// Sends what was taken; then tells its writer.
    fn poll_leave(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        Poll::Ready(Ok(std::mem::take(&mut self.taken)))
    }
}

/// The label of a failed handshake.
pub(crate) fn reason(error: &io::Error) -> &'static str {
    let Some(error) = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>()) else { return "closed" };
    match error {
        rustls::Error::NoCertificatesPresented => "no_certificate",
        rustls::Error::InvalidCertificate(_) => "bad_certificate",
        rustls::Error::AlertReceived(_) => "refused",
        rustls::Error::PeerIncompatible(_) | rustls::Error::NoApplicationProtocol => "incompatible",
        _ => "malformed",
    }
}

impl AsyncRead for TlsSocket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for TlsSocket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Ready once what was taken has left: nobody flushes behind it, and a client that does not read is to be noticed.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.taken == 0 {
            this.taken = ready!(Pin::new(&mut this.stream).poll_write_vectored(cx, pieces))?;
        }
        this.poll_leave(cx)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// With the alert that nothing was cut off (RFC 8446 §6.1).
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
