//! Whom to believe: the trace context and the mark of a request.
//!
//! After the listener, before routing. [`Incoming::read`] turns a request's headers into what we
//! believe of them; [`outgoing`] and [`TraceState::write`] make the headers of an attempt. Pure
//! functions over borrowed bytes: nothing in this folder does IO, logs, or counts; what is refused
//! comes back as a value with a metric label, for the caller to count.
//!
//! - [`traceparent`](mod@traceparent): ids and flags, strictly Level 2.
//! - [`tracestate`]: the list, the edit of our members and of `ot`.
//! - [`mark`]: group and version.
//! - [`signature`]: what makes a stranger's mark believed.
//! - [`baggage`]: the mark's second, opt-in carrier.
//! - [`threshold`], [`ot`], [`sampling`]: consistent probability.
//! - [`context`]: all of it for one request, by trust.

pub mod baggage;
pub mod context;
mod hex;
mod ids;
pub mod mark;
pub mod ot;
mod ows;
pub mod sampling;
pub mod signature;
pub mod threshold;
pub mod traceparent;
pub mod tracestate;

pub use self::{
    context::{Incoming, MarkResult, Vouching, append_server_timing, response_mark},
    ids::{SpanId, TraceId},
    mark::{Mark, MarkField, NotAMark},
    ot::{OtEdit, ThresholdField},
    sampling::{Basis, Outgoing, ParentSampling, SamplingInput, outgoing, outgoing_by},
    signature::{Signature, Unsigned},
    threshold::{Randomness, Threshold},
    traceparent::{Flags, Invalid, TraceParent},
    tracestate::{Edit, MarkEdit, Rejected, SignatureEdit, TraceState},
};
