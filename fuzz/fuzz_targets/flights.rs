#![no_main]

#[path = "../bodies.rs"]
#[allow(dead_code)] // each target has its own part
mod bodies;
#[path = "../machines.rs"]
#[allow(dead_code)]
mod machines;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let (_, target) = machines::TARGETS.iter().find(|(name, _)| *name == "flights").expect("it is one");
    target(data);
});
