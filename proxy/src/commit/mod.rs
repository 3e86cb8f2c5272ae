//! Exactly one answer for each request.
