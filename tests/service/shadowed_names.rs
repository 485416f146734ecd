//! What is generated means what it says, whatever its user calls other things.
#![no_implicit_prelude]
#![allow(dead_code, non_camel_case_types, non_upper_case_globals)]

use ::netrpc::service;
use ::std::marker::Copy;

mod core {}
mod std {}
mod alloc {}
mod serde {}

struct Arc;
struct Body;
struct Box;
struct Call;
struct Client;
struct Error;
struct Fault;
struct Finished;
struct Future;
struct Method;
struct Option;
struct Result;
struct Send;
struct Service;
struct Stub;
struct TypedMethod;

trait Shadows: Copy {
    fn clone(&self) {}
    fn fault(&self) {}
    fn encode(&self) {}
    fn decode(&self) {}
    fn default() {}
    fn call(&self) {}
    fn go(&self) {}
}

impl<T: Copy> Shadows for T {}

#[derive(::std::clone::Clone, ::std::marker::Copy)]
struct Arith;

#[service]
impl Arith {
    fn double(&self, n: i64, reply_: &mut i64) -> ::std::result::Result<(), &'static str> {
        *reply_ = 2 * n;
        ::std::result::Result::Ok(())
    }

    async fn triple(&self, (): ()) -> ::std::result::Result<i64, ::netrpc::Fault> {
        ::std::result::Result::Ok(3)
    }

    fn service(&self, service_: (i64, i64), cx_: &mut i64) {
        *cx_ = service_.0;
    }
}

#[service]
trait Interface {
    async fn body(&self, body_: ::std::vec::Vec<u8>, args_: &mut ()) {
        *args_ = ::std::mem::drop(body_);
    }

    fn reply(self: ::std::sync::Arc<Self>, error_: ::std::string::String, written_: &mut ());
}

impl Interface for Arith {
    fn reply(self: ::std::sync::Arc<Self>, _: ::std::string::String, _: &mut ()) {}
}

#[::std::prelude::v1::test]
fn it_compiles_and_registers() {
    let server = ::netrpc::Server::new();
    ::std::assert!(server.register(Arith).is_ok());
    ::std::assert!(server.register(InterfaceServer::new(Arith)).is_ok());
}
