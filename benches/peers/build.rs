//! Writes tonic's client and server of `bench.Arith`, whose messages are in `src/system/tonic.rs`,
//! and records the compiler's version for the report.

use std::{env, process::Command};

use tonic_build::manual::{Builder, Method, Service};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let method = |name, route, input: &str, output: &str| {
        Method::builder()
            .name(name)
            .route_name(route)
            .input_type(format!("crate::system::tonic::{input}"))
            .output_type(format!("crate::system::tonic::{output}"))
            .codec_path("tonic_prost::ProstCodec")
            .build()
    };
    let arith = Service::builder()
        .package("bench")
        .name("Arith")
        .method(method("multiply", "Multiply", "Factors", "Product"))
        .method(method("echo", "Echo", "Payload", "Payload"))
        .method(method("block", "Block", "Time", "Nothing"))
        .build();
    Builder::new().compile(&[arith]);

    let rustc = env::var_os("RUSTC").expect("cargo says which compiler it uses");
    let version = Command::new(rustc).arg("--version").output().expect("the compiler can be run");
    println!("cargo::rustc-env=RUSTC_VERSION={}", String::from_utf8_lossy(&version.stdout).trim());
}
