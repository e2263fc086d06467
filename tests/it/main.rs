//! The wire-level tests, in one binary: a real server on a free port with a temporary database and
//! the built-in models. What talks to third-party programs is in `peers.rs` and `browser.rs`.

mod house;
mod story;
