//! The pdf reader on anything.
#![no_main]
#[path = "../harness.rs"]
mod harness;

libfuzzer_sys::fuzz_target!(|data: &[u8]| harness::read(merchant_copilot::knowledge::read::Format::Pdf, data));
