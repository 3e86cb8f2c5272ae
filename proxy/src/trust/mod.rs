//! Whom to believe: the trace context and the mark of a request.
