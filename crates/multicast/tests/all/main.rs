//! Sessions of a sender and its receivers, from outside. One program, so that it is linked once.

#![allow(clippy::unwrap_used)] // clippy knows tests by their attribute, not their helpers
#![allow(clippy::disallowed_types, clippy::disallowed_methods)] // pure is what is tested, not who tests it

mod figures;
mod fuzz_corpus;
mod misfits;
mod sealing;
mod session;
mod speed;
mod support;
