#![no_main]
#[path = "../bodies.rs"]
#[allow(dead_code)] // each target uses its own part
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::datagram(data));
