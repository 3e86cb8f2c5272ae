//! Fakes for the tests of patchgate.
