//! A request with the connection it came on: what the stack is given.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::request::Parts;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::{Connection, h1};
use crate::names::Names;

/// See the module.
#[derive(Debug)]
pub(crate) struct Inbound {
    pub(crate) head: Box<Parts>,
    /// The known fields in it.
    pub(crate) found: Names,
    pub(crate) body: RequestBody,
    pub(crate) connection: Rc<Connection>,
}

/// A request's body, as its connection's protocol brings it. Read only as far as it is asked for.
#[derive(Debug)]
pub(crate) enum RequestBody {
    /// There is none.
    None,
    /// There is none; whoever switches protocols may go on to read what follows.
    Upgrade(h1::Upload),
    /// Read off the connection by whoever polls it.
    Http1(h1::Upload),
    /// A stream's.
    Http2(Incoming),
}

/// Why a request's body is not whole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestBodyError {
    #[error(transparent)]
    Http1(#[from] h1::UploadError),
    #[error(transparent)]
    Http2(#[from] hyper::Error),
}

impl RequestBody {
    /// A stream's body.
    pub(super) fn http2(body: Incoming) -> Self {
        if body.is_end_stream() { Self::None } else { Self::Http2(body) }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        match self.get_mut() {
            Self::None | Self::Upgrade(_) => Poll::Ready(None),
            Self::Http1(body) => body.poll_frame(cx).map_err(Into::into),
            Self::Http2(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::None | Self::Upgrade(_) => true,
            Self::Http1(body) => body.left() == Some(0),
            Self::Http2(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::None | Self::Upgrade(_) => SizeHint::with_exact(0),
            Self::Http1(body) => body.left().map_or_else(SizeHint::new, SizeHint::with_exact),
            Self::Http2(body) => body.size_hint(),
        }
    }
}
