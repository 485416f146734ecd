//! The crate can be found under another path.

mod dependencies {
    pub(crate) use netrpc as rpc;
}

use dependencies::rpc;

struct Arith;

#[rpc::service(crate = "crate::renamed_crate::dependencies::rpc")]
impl Arith {
    async fn double(&self, cx: &rpc::Context, n: i64) -> Result<i64, String> {
        let _ = cx;
        Ok(2 * n)
    }
}

#[rpc::service(crate = "rpc", name = "Arithmetic2")]
pub(crate) trait Arithmetic {
    async fn double(&self, n: i64, reply: &mut i64);
}

impl Arithmetic for Arith {
    async fn double(&self, n: i64, reply: &mut i64) {
        *reply = 2 * n;
    }
}

#[test]
fn it_compiles_and_registers() {
    let server = rpc::Server::new();
    server.register(Arith).unwrap();
    server.register(ArithmeticServer::new(Arith)).unwrap();
}
