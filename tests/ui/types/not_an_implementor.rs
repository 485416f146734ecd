use netrpc::{Server, service};

#[service]
trait Arithmetic {
    fn double(&self, n: i64, reply: &mut i64);
}

struct Arith;

fn main() {
    Server::new().register(ArithmeticServer::new(Arith)).unwrap();
}
